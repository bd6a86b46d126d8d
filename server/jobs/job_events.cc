#include "server/jobs/job_events.h"

#include <fstream>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "server/base/event_log.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

namespace {

constexpr int64_t kTailBytes = 64 << 10;
constexpr size_t kChecksumWidth = 9;  // Eight digits and a space.
constexpr size_t kMaxLogLine = 400;

absl::Status Append(const std::filesystem::path& job_directory, int attempt, nlohmann::json event) {
  ASSIGN_OR_RETURN(const std::unique_ptr<EventWriter> writer, EventWriter::Open(job_directory / kEventsFile, attempt));
  return writer->Append(std::move(event), /*sync=*/true);
}

// At most `limit` bytes from the end of a file; empty when there is none.
std::string ReadTail(const std::filesystem::path& path, int64_t limit) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const int64_t size = file.tellg();
  const int64_t begin = size > limit ? size - limit : 0;
  std::string bytes(static_cast<size_t>(size - begin), '\0');
  file.seekg(begin);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

std::vector<std::string_view> WholeLines(std::string_view bytes) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
    lines.push_back(bytes.substr(0, end));
  }
  return lines;
}

int64_t IntegerOf(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

std::string TextOf(const nlohmann::json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

bool IsFinished(JobState state) {
  switch (state) {
    case JobState::kQueued:
    case JobState::kRunning:
      return false;
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled:
      return true;
  }
  return false;
}

absl::Status AppendStateEvent(const std::filesystem::path& job_directory, int attempt, JobState state) {
  return Append(job_directory, attempt, {{"type", "state"}, {"state", static_cast<int>(state)}});
}

absl::Status AppendDeathEvent(const std::filesystem::path& job_directory, int attempt, const std::string& text) {
  return Append(job_directory, attempt, {{"type", "message"}, {"text", text}, {"death", true}});
}

bool IsFinalStateEvent(const nlohmann::json& event) {
  return TextOf(event, "type") == "state" && IsFinished(static_cast<JobState>(IntegerOf(event, "state")));
}

absl::StatusOr<JobEventsTail> ReadEventsTail(const std::filesystem::path& job_directory) {
  JobEventsTail tail;
  const std::string bytes = ReadTail(job_directory / kEventsFile, kTailBytes);
  for (const std::string_view line : WholeLines(bytes)) {
    if (line.size() < kChecksumWidth) continue;
    // The first line is cut off unless the file is short, and is no JSON then.
    const nlohmann::json event =
        nlohmann::json::parse(line.substr(kChecksumWidth), nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) continue;
    tail.last_sequence = IntegerOf(event, "sequence");
    tail.has_final_state = IsFinalStateEvent(event);
    if (TextOf(event, "type") == "progress") {
      tail.step = IntegerOf(event, "step");
      tail.total_steps = IntegerOf(event, "total_steps");
    } else if (TextOf(event, "type") == "step") {
      tail.step = IntegerOf(event, "step");
      tail.total_steps = IntegerOf(event, "total_steps");
      const auto rate = event.find("tokens_per_second");
      tail.tokens_per_second = rate != event.end() && rate->is_number() ? rate->get<double>() : 0;
    }
  }
  return tail;
}

absl::StatusOr<int> CountDeaths(const std::filesystem::path& job_directory) {
  EventReader reader(job_directory / kEventsFile);
  int deaths = 0;
  do {
    ASSIGN_OR_RETURN(const std::vector<nlohmann::json> events, reader.ReadNew());
    for (const nlohmann::json& event : events) deaths += event.contains("death") ? 1 : 0;
  } while (reader.more());
  return deaths;
}

absl::Status ReadFailure(const std::filesystem::path& job_directory) {
  const std::string bytes = ReadTail(job_directory / kEventsFile, kTailBytes);
  absl::Status failure =
      absl::InternalError(Concat("the trainer failed without a reason; its last words: ", LastLogLine(job_directory)));
  for (const std::string_view line : WholeLines(bytes)) {
    if (line.size() < kChecksumWidth) continue;
    const nlohmann::json event =
        nlohmann::json::parse(line.substr(kChecksumWidth), nullptr, /*allow_exceptions=*/false);
    if (!event.is_object() || TextOf(event, "type") != "failed") continue;
    const auto code = static_cast<absl::StatusCode>(IntegerOf(event, "code"));
    failure =
        absl::Status(code == absl::StatusCode::kOk ? absl::StatusCode::kInternal : code, TextOf(event, "message"));
  }
  return failure;
}

std::string LastLogLine(const std::filesystem::path& job_directory) {
  std::string bytes = ReadTail(job_directory / kTrainerLog, 4 << 10);
  while (!bytes.empty() && (bytes.back() == '\n' || bytes.back() == ' ')) bytes.pop_back();
  const size_t begin = bytes.rfind('\n');
  std::string line = begin == std::string::npos ? bytes : bytes.substr(begin + 1);
  if (line.size() > kMaxLogLine) line = line.substr(line.size() - kMaxLogLine);
  return line.empty() ? "(none)" : line;
}

}  // namespace tandem
