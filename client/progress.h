#pragma once
// How long operations report on themselves. Callbacks run on the thread of the call that was given them, and may be
// empty.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tandem/v1/types.pb.h"

namespace tandem {

// Files of a model or index on their way.
struct TransferProgress {
  int64_t bytes = 0;
  int64_t total_bytes = 0;  // 0: not known yet.
};
using OnTransfer = std::function<void(const TransferProgress&)>;

// A stream broke with `error` and is about to be resumed.
using OnResume = std::function<void(const absl::Status& error)>;

// One thing to upload. `position` is whatever the caller wants to hear when the server refuses it: a line number, say.
template <class Item>
struct Numbered {
  Item item;
  int64_t position = 0;
};

// Gives the next thing to upload, nullopt at the end, or an error, which ends the upload after what came before it.
template <class Item>
using ItemSource = std::function<absl::StatusOr<std::optional<Numbered<Item>>>()>;

struct UploadProgress {
  int64_t accepted = 0;  // Stored, durably.
  int64_t refused = 0;   // By the server, one by one, with a reason.
  int64_t bytes = 0;     // Of the messages that were answered.
  int64_t commit = 0;    // The newest that an answer named.
};

struct UploadCallbacks {
  std::function<void(const UploadProgress&)> on_progress;                        // After each answer.
  std::function<void(int64_t position, const v1::ItemError& error)> on_refused;  // For each refused item.
  OnResume on_resume;
};

struct UploadOptions {
  std::string request_id;               // Made when empty. The same id and items again store nothing twice.
  int max_items_per_message = 500;      // One message is one transaction on the server.
  int64_t max_message_bytes = 1 << 20;  // A single larger item still goes, alone.
  int messages_in_flight = 8;           // Sent ahead of their answers.
};

}  // namespace tandem
