#pragma once
// The append-only file through which tandem-trainer tells tandemd what happens. One record a line:
//   <crc32c of the JSON, 8 hex digits> SP <one-line JSON object> LF
// Every object has "attempt" and "sequence" (from 1, no gaps over all attempts) and "time_us". A torn last line, left
// by a crash, and what lies behind blocks that a power cut lost, is cut off when a writer opens the file and ignored by
// readers. Do not change the framing: files outlive
// binaries.
// One writer process at a time; any number of readers, of the same process or not.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

class EventWriter {
 public:
  // Creates the file or continues it after its last whole record.
  static absl::StatusOr<std::unique_ptr<EventWriter>> Open(const std::filesystem::path& path, int attempt);
  ~EventWriter();

  // Adds "attempt", "sequence" and "time_us" and writes one line with a single write(2). `sync` also fsyncs.
  absl::Status Append(nlohmann::json event, bool sync = false);
  int64_t last_sequence() const { return last_sequence_; }

 private:
  EventWriter(int fd, int attempt, int64_t last_sequence);
  const int fd_;
  const int attempt_;
  int64_t last_sequence_;
};

class EventReader {
 public:
  explicit EventReader(std::filesystem::path path);

  // The whole records that appeared since the last call, in order, about 1 MiB of them at most; empty when there are
  // none yet or no file yet. DATA_LOSS for a damaged record that is not the last line.
  absl::StatusOr<std::vector<nlohmann::json>> ReadNew();
  bool more() const { return more_; }  // The last call stopped at its limit: the next one returns records at once.
  int64_t offset() const { return offset_; }                // Bytes of the records that were returned.
  int64_t last_sequence() const { return last_sequence_; }  // Of them; 0: none.

 private:
  const std::filesystem::path path_;
  int64_t offset_ = 0;
  int64_t last_sequence_ = 0;
  bool more_ = false;
};

}  // namespace tandem
