#pragma once
// The client's side of AppendExamples and ImportDocuments: a bidirectional stream of numbered messages, each answered
// by one response. Several messages are sent ahead of the answers; what has no answer is kept, and sent again with the
// same request_id and sequence after the stream broke, so that everything is stored exactly once.
//
//   Upload<AppendExamplesRequest, AppendExamplesResponse, Example> upload(connection, protocol, options, callbacks);
//   absl::StatusOr<UploadProgress> done = upload.Run(source);
//
// One object is one upload, used by one thread.

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/connection.h"
#include "client/error.h"
#include "client/progress.h"
#include "client/retry.h"

namespace tandem {

template <class Request, class Response, class Item>
class Upload {
 public:
  using Stream = grpc::ClientReaderWriter<Request, Response>;

  // What differs between the calls.
  struct Protocol {
    std::function<std::unique_ptr<Stream>(grpc::ClientContext*)> open;
    std::function<void(Request*)> set_parent;  // Fills the field that only a stream's first message has.
    std::function<void(Request*, Item)> add_item;
  };

  Upload(const Connection& connection, Protocol protocol, UploadOptions options, UploadCallbacks callbacks)
      : connection_(connection),
        protocol_(std::move(protocol)),
        options_(std::move(options)),
        callbacks_(std::move(callbacks)) {
    if (options_.request_id.empty()) options_.request_id = NewRequestId();
  }

  // Uploads all of `source`. An error says how much was stored before it.
  absl::StatusOr<UploadProgress> Run(const ItemSource<Item>& source) {
    Backoff backoff(connection_.options().retry, connection_.options().retry.stream_patience);
    while (true) {
      const int64_t answered_before = answered_;
      absl::Status status = RunStream(source);
      if (status.ok()) break;
      if (answered_ > answered_before) backoff.Reset();
      if (IsTransient(status) && callbacks_.on_resume) callbacks_.on_resume(status);
      if (!backoff.WaitAfter(status)) return WithProgress(status);
    }
    if (!source_status_.ok()) return WithProgress(source_status_);
    return progress_;
  }

 private:
  struct Message {
    Request request;  // With sequence and items; without the fields of a first message.
    std::vector<int64_t> positions;
  };

  // Sends and receives on one stream until everything is answered (OK) or the stream breaks.
  absl::Status RunStream(const ItemSource<Item>& source) {
    if (unanswered_.empty() && !ReadMessage(source)) return absl::OkStatus();
    grpc::ClientContext context;
    std::unique_ptr<Stream> stream = protocol_.open(&context);
    size_t sent = 0;  // How many of unanswered_, from the front, went over this stream.
    bool first = true;
    bool writable = true;
    while (true) {
      while (writable && sent < static_cast<size_t>(options_.messages_in_flight)) {
        if (sent == unanswered_.size() && !ReadMessage(source)) break;
        writable = Send(stream.get(), unanswered_[sent].request, first);
        first = false;
        ++sent;
      }
      if (unanswered_.empty()) break;
      Response response;
      if (!stream->Read(&response)) return Broken(stream.get());
      if (absl::Status status = TakeAnswer(response); !status.ok()) {
        context.TryCancel();
        (void)stream->Finish();
        return status;
      }
      --sent;
    }
    // How the stream ends no longer matters: everything has its answer.
    stream->WritesDone();
    Response extra;
    while (stream->Read(&extra)) continue;
    (void)stream->Finish();
    return absl::OkStatus();
  }

  bool Send(Stream* stream, const Request& request, bool first) const {
    if (!first) return stream->Write(request);
    Request head = request;
    protocol_.set_parent(&head);
    head.set_request_id(options_.request_id);
    return stream->Write(head);
  }

  absl::Status Broken(Stream* stream) const {
    absl::Status status = FromGrpc(stream->Finish(), connection_.address());
    if (!status.ok()) return status;
    return absl::UnavailableError(absl::StrCat("the server ended the stream with ", unanswered_.size(),
                                               " messages unanswered, the first of sequence ",
                                               unanswered_.front().request.sequence()));
  }

  // Appends the next message to unanswered_; false at the end of the source.
  bool ReadMessage(const ItemSource<Item>& source) {
    Message message;
    int64_t bytes = 0;
    while (!source_ended_ && message.positions.size() < static_cast<size_t>(options_.max_items_per_message)) {
      std::optional<Numbered<Item>> next = std::exchange(carried_, std::nullopt);
      if (!next) {
        absl::StatusOr<std::optional<Numbered<Item>>> read = source();
        if (!read.ok()) source_status_ = read.status();
        if (!read.ok() || !read->has_value()) {
          source_ended_ = true;
          break;
        }
        next = *std::move(read);
      }
      const int64_t item_bytes = static_cast<int64_t>(next->item.ByteSizeLong());
      if (!message.positions.empty() && bytes + item_bytes > options_.max_message_bytes) {
        carried_ = std::move(next);
        break;
      }
      bytes += item_bytes;
      message.positions.push_back(next->position);
      protocol_.add_item(&message.request, std::move(next->item));
    }
    if (message.positions.empty()) return false;
    message.request.set_sequence(++last_sequence_);
    unanswered_.push_back(std::move(message));
    return true;
  }

  absl::Status TakeAnswer(const Response& response) {
    const Message& message = unanswered_.front();
    if (response.sequence() != message.request.sequence()) {
      return absl::InternalError(absl::StrCat("the server answered sequence ", response.sequence(), " where ",
                                              message.request.sequence(), " was due"));
    }
    progress_.accepted += response.accepted();
    progress_.refused += response.errors_size();
    progress_.bytes += static_cast<int64_t>(message.request.ByteSizeLong());
    progress_.commit = response.commit();
    for (const v1::ItemError& error : response.errors()) {
      const auto index = static_cast<size_t>(error.index());
      if (callbacks_.on_refused) {
        callbacks_.on_refused(index < message.positions.size() ? message.positions[index] : 0, error);
      }
    }
    unanswered_.pop_front();
    ++answered_;
    if (callbacks_.on_progress) callbacks_.on_progress(progress_);
    return absl::OkStatus();
  }

  absl::Status WithProgress(const absl::Status& status) const {
    return Annotate(status,
                    absl::StrCat("after ", progress_.accepted, " stored (request id ", options_.request_id, ")"));
  }

  const Connection& connection_;
  const Protocol protocol_;
  UploadOptions options_;
  const UploadCallbacks callbacks_;

  std::deque<Message> unanswered_;         // In the order of their sequence.
  std::optional<Numbered<Item>> carried_;  // Read, but too large for the message it was read for.
  bool source_ended_ = false;
  absl::Status source_status_;
  int64_t last_sequence_ = 0;
  int64_t answered_ = 0;  // Messages.
  UploadProgress progress_;
};

}  // namespace tandem
