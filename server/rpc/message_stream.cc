#include "server/rpc/message_stream.h"

#include "absl/time/clock.h"
#include "server/base/strings.h"
#include "server/rpc/limits.h"
#include "server/rpc/wire.h"

namespace tandem {
namespace {

constexpr absl::Duration kDrainPoll =
    absl::Milliseconds(250);  // How late a waiting stream sees that the server drains.

}  // namespace

bool MessageStream::Read(google::protobuf::Message* message) {
  if (closed_ || !status_.ok()) return false;
  {
    absl::MutexLock lock(&mutex_);
    read_ = Transfer::kUnderWay;
  }
  BeginRead(&in_);
  const absl::Time limit = absl::Now() + kStreamIdleLimit;
  const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return read_ != Transfer::kUnderWay; };
  {
    absl::MutexLock lock(&mutex_);
    while (!mutex_.AwaitWithTimeout(absl::Condition(&over), kDrainPoll)) {
      if (pool_->draining()) status_ = absl::UnavailableError("the server is shutting down");
      if (absl::Now() > limit) {
        status_ = absl::DeadlineExceededError(
            Concat("no message for ", absl::FormatDuration(kStreamIdleLimit), ": the stream is closed"));
      }
      if (!status_.ok()) {
        closed_ = true;
        return false;
      }
    }
    if (read_ == Transfer::kFailed) return false;
  }
  message->Clear();
  status_ = ParseMessage(in_, message);
  in_.Clear();
  return status_.ok();
}

bool MessageStream::Write(const google::protobuf::Message& message) {
  {
    absl::MutexLock lock(&mutex_);
    if (write_ == Transfer::kFailed) return false;
    write_ = Transfer::kUnderWay;
  }
  out_ = SerializeMessage(message);
  BeginWrite(&out_);
  const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return write_ != Transfer::kUnderWay; };
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithTimeout(absl::Condition(&over), kStreamIdleLimit)) {
    Abandon();  // A client that reads nothing for so long would hold the thread for ever.
    mutex_.Await(absl::Condition(&over));
  }
  return write_ == Transfer::kDone;
}

void MessageStream::ReadDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  read_ = ok ? Transfer::kDone : Transfer::kFailed;
}

void MessageStream::WriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  write_ = ok ? Transfer::kDone : Transfer::kFailed;
}

}  // namespace tandem
