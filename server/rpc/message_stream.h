#pragma once
// One open stream as its handler sees it: blocking reads and writes, so that a handler reads like a loop.
//
//   while (stream->Read(&request)) {
//     ...
//     if (!stream->Write(response)) break;  // The client has gone.
//   }
//   return stream->status();
//
// Used by one thread, the handler's. A slow reader holds the handler up in Write (flow control); a client that goes
// away ends the wait.

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/call_pool.h"

namespace tandem {

class MessageStream {
 public:
  // False when the client has sent everything, has gone, or status() is an error: a message that cannot be parsed
  // (INVALID_ARGUMENT), none for kStreamIdleLimit (DEADLINE_EXCEEDED), the server drains (UNAVAILABLE).
  bool Read(google::protobuf::Message* message);
  // False when the client has gone.
  bool Write(const google::protobuf::Message& message);
  absl::Status status() const { return status_; }

 protected:
  explicit MessageStream(const CallPool* pool) : pool_(pool) {}
  virtual ~MessageStream() = default;

  virtual void BeginRead(grpc::ByteBuffer* bytes) = 0;
  virtual void BeginWrite(const grpc::ByteBuffer* bytes) = 0;
  virtual void Abandon() = 0;  // Makes what is under way fail.
  void ReadDone(bool ok);
  void WriteDone(bool ok);

 private:
  enum class Transfer { kNone, kUnderWay, kDone, kFailed };

  const CallPool* const pool_;
  absl::Status status_;
  bool closed_ = false;        // A read is under way that nobody waits for: no other may begin.
  grpc::ByteBuffer in_, out_;  // gRPC reads and writes them while a transfer is under way.
  absl::Mutex mutex_;
  Transfer read_ ABSL_GUARDED_BY(mutex_) = Transfer::kNone;
  Transfer write_ ABSL_GUARDED_BY(mutex_) = Transfer::kNone;
};

}  // namespace tandem
