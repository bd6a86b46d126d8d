#include "server/base/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr size_t kChecksumDigits = 8;
constexpr size_t kReadBytes = 1 << 20;  // A log of millions of steps is read in pieces of this size.

// The record in a line without its LF; nullopt when it is damaged.
std::optional<nlohmann::json> ParseLine(std::string_view line) {
  if (line.size() < kChecksumDigits + 1 || line[kChecksumDigits] != ' ') return std::nullopt;
  uint32_t checksum = 0;
  const std::string_view text = line.substr(kChecksumDigits + 1);
  if (!absl::SimpleHexAtoi(AbslView(line.substr(0, kChecksumDigits)), &checksum) || checksum != Crc32c(text))
    return std::nullopt;
  nlohmann::json event = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!event.is_object()) return std::nullopt;
  const auto sequence = event.find("sequence");
  if (sequence == event.end() || !sequence->is_number_integer()) return std::nullopt;
  return event;
}

struct ParsedRecords {
  std::vector<nlohmann::json> events;
  int64_t size = 0;  // Bytes that they take.
  int64_t last_sequence = 0;
  bool cut_off = false;  // A power cut took what follows.
};

// The whole records at the start of `bytes`, which begin at `offset` of the file after record `last_sequence` and go to
// its end if `at_end`. A last line of the file that is torn or damaged is left out; one before it is DATA_LOSS, unless
// it holds NULs, which no record does: blocks that were not synced and that a power cut took read as NULs, and blocks
// behind them may be there. What was synced lies before.
absl::StatusOr<ParsedRecords> ParseRecords(const std::filesystem::path& path, std::string_view bytes, bool at_end,
                                           int64_t offset, int64_t last_sequence) {
  ParsedRecords parsed;
  parsed.last_sequence = last_sequence;
  while (true) {
    const size_t end = bytes.find('\n', parsed.size);
    if (end == std::string_view::npos) return parsed;
    const bool is_last = at_end && end + 1 == bytes.size();
    const std::string_view line = bytes.substr(parsed.size, end - parsed.size);
    std::optional<nlohmann::json> event = ParseLine(line);
    if (!event.has_value() && is_last) return parsed;
    if (!event.has_value() && line.find('\0') != std::string_view::npos) {
      parsed.cut_off = true;
      return parsed;
    }
    if (!event.has_value()) {
      return absl::DataLossError(Concat(path.string(), ": the record at byte ", offset + parsed.size,
                                        ", after sequence ", parsed.last_sequence, ", is damaged"));
    }
    const int64_t sequence = (*event)["sequence"].get<int64_t>();
    if (sequence != parsed.last_sequence + 1) {
      return absl::DataLossError(Concat(path.string(), ": the record at byte ", offset + parsed.size, " has sequence ",
                                        sequence, ", not ", parsed.last_sequence + 1));
    }
    parsed.events.push_back(*std::move(event));
    parsed.last_sequence = sequence;
    parsed.size = static_cast<int64_t>(end) + 1;
  }
}

absl::Status ErrnoStatus(std::string_view what, int error) {
  const std::string message = Concat(what, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);  // The job's directory is gone.
  return error == ENOSPC ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

EventWriter::EventWriter(int fd, int attempt, int64_t last_sequence)
    : fd_(fd), attempt_(attempt), last_sequence_(last_sequence) {}

EventWriter::~EventWriter() { ::close(fd_); }

absl::StatusOr<std::unique_ptr<EventWriter>> EventWriter::Open(const std::filesystem::path& path, int attempt) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(path.string(), errno);
  auto writer = std::unique_ptr<EventWriter>(new EventWriter(fd, attempt, 0));
  EventReader reader(path);
  do {
    RETURN_IF_ERROR(reader.ReadNew().status());
  } while (reader.more());
  struct stat stat;
  if (::fstat(fd, &stat) != 0) return ErrnoStatus(path.string(), errno);
  if (reader.offset() < stat.st_size && ::ftruncate(fd, reader.offset()) != 0) {
    return ErrnoStatus(path.string(), errno);
  }
  writer->last_sequence_ = reader.last_sequence();
  return writer;
}

absl::Status EventWriter::Append(nlohmann::json event, bool sync) {
  if (!event.is_object()) return absl::InvalidArgumentError("event: must be a JSON object");
  event["attempt"] = attempt_;
  event["sequence"] = last_sequence_ + 1;
  event["time_us"] = absl::ToUnixMicros(absl::Now());
  // Texts of events may quote user data that is not UTF-8: such bytes become U+FFFD.
  const std::string text = event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const std::string line = Concat(absl::StrFormat("%08x ", Crc32c(text)), text, "\n");

  struct stat before;
  if (::fstat(fd_, &before) != 0) return ErrnoStatus("event log", errno);
  ssize_t written;
  do {
    written = ::write(fd_, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  if (written != static_cast<ssize_t>(line.size())) {
    const int error = written < 0 ? errno : ENOSPC;
    // What came before stays readable: a torn record may only be the last one.
    if (::ftruncate(fd_, before.st_size) != 0) return ErrnoStatus("event log: torn record cannot be cut off", errno);
    return ErrnoStatus("event log", error);
  }
  ++last_sequence_;
  if (sync && ::fsync(fd_) != 0) return ErrnoStatus("event log", errno);
  return absl::OkStatus();
}

EventReader::EventReader(std::filesystem::path path) : path_(std::move(path)) {}

absl::StatusOr<std::vector<nlohmann::json>> EventReader::ReadNew() {
  more_ = false;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return std::vector<nlohmann::json>();
  if (fd < 0) return ErrnoStatus(path_.string(), errno);
  const auto close_fd = absl::MakeCleanup([fd] { ::close(fd); });
  std::string bytes;
  std::vector<char> block(1 << 16);
  size_t whole = std::string::npos;  // Of `bytes`: whole lines, once there is more than fits.
  while (whole == std::string::npos) {
    const ssize_t count = ::pread(fd, block.data(), block.size(), offset_ + static_cast<int64_t>(bytes.size()));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(path_.string(), errno);
    if (count == 0) break;
    bytes.append(block.data(), count);
    // Not up to the last byte: whether the line that ends there is the file's last must be known.
    if (bytes.size() > kReadBytes) whole = bytes.rfind('\n', bytes.size() - 2);
  }
  more_ = whole != std::string::npos;
  const std::string_view lines = std::string_view(bytes).substr(0, more_ ? whole + 1 : bytes.size());
  ASSIGN_OR_RETURN(ParsedRecords parsed, ParseRecords(path_, lines, !more_, offset_, last_sequence_));
  more_ = more_ && !parsed.cut_off;
  offset_ += parsed.size;
  last_sequence_ = parsed.last_sequence;
  return std::move(parsed.events);
}

}  // namespace tandem
