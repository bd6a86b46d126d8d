#include "server/flags.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <unistd.h>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

// A number of bytes: "8589934592", "8GiB", "512MiB".
struct ByteCount {
  int64_t bytes = 0;
};

bool AbslParseFlag(absl::string_view text, ByteCount* out, std::string* error) {
  int shift = 0;
  if (absl::ConsumeSuffix(&text, "GiB")) {
    shift = 30;
  } else if (absl::ConsumeSuffix(&text, "MiB")) {
    shift = 20;
  } else if (absl::ConsumeSuffix(&text, "KiB")) {
    shift = 10;
  }
  if (absl::SimpleAtoi(text, &out->bytes) && out->bytes >= 0 && out->bytes <= INT64_MAX >> shift) {
    out->bytes <<= shift;
    return true;
  }
  *error = "must be a number of bytes, with KiB, MiB or GiB behind it if you like";
  return false;
}

std::string AbslUnparseFlag(ByteCount count) { return Concat(count.bytes); }

}  // namespace tandem

ABSL_FLAG(std::string, listen, "127.0.0.1:7700", "address and port to listen on; port 0 is any free one");
ABSL_FLAG(std::string, port_file, "", "file that the bound address is written to once the server answers");
ABSL_FLAG(std::string, data_dir, "tandem-data", "directory of everything that the server stores; made when not there");
ABSL_FLAG(std::string, model_import_dir, "", "directory below which ImportModel may read; empty: files by stream only");
ABSL_FLAG(std::string, snapshot_dir, "", "directory of snapshots; empty: snapshots/ in --data-dir");
ABSL_FLAG(std::string, trainer_binary, "", "tandem-trainer; empty: the one beside tandemd");
ABSL_FLAG(int32_t, threads, 0, "threads of one forward pass; 0: one per core");
ABSL_FLAG(int32_t, trainer_threads, 0, "threads of the trainer, which runs at idle priority; 0: one per core");
ABSL_FLAG(tandem::ByteCount, memory_budget, {},
          "memory of loaded models and of releases' indexes, like 8GiB; 0: half of the machine's");
ABSL_FLAG(tandem::ByteCount, trainer_memory, {},
          "resident memory at which the trainer is killed, like 8GiB; 0: no limit");
ABSL_FLAG(int32_t, max_queued_calls, 1024, "calls that may wait for a thread; more get RESOURCE_EXHAUSTED");
ABSL_FLAG(int64_t, max_lag, 1'000'000,
          "commits that a collection's live release may be behind before writes get RESOURCE_EXHAUSTED");
ABSL_FLAG(
    int64_t, seal_fresh, 20'000,
    "vectors in the fresh part of an index above which it is sealed again, once it is also larger than a tenth of the "
    "sealed part");
ABSL_FLAG(int64_t, keep_versions, 10'000,
          "replaced and deleted documents of the newest so many commits of a collection stay on disk");
ABSL_FLAG(absl::Duration, search_log_age, absl::Hours(7 * 24),
          "how long a search of a collection with a feedback policy can be given feedback on");
ABSL_FLAG(int64_t, search_log_size, 1'000'000, "searches that can be given feedback on; the oldest go first");
ABSL_FLAG(absl::Duration, drain_timeout, absl::Seconds(30), "how long calls may go on after SIGTERM");
ABSL_FLAG(std::string, log_level, "info", "trace, debug, info, warning or error");

namespace tandem {
namespace {

constexpr std::string_view kFlags[] = {
    "listen",     "port_file",       "data_dir",       "model_import_dir", "snapshot_dir",     "trainer_binary",
    "threads",    "trainer_threads", "memory_budget",  "trainer_memory",   "max_queued_calls", "max_lag",
    "seal_fresh", "keep_versions",   "search_log_age", "search_log_size",  "drain_timeout",    "log_level"};

// What else begins with TANDEM_: for deploy/setup.sh (DEPS, JOBS), the CLI, its completion and the tests; and what
// Kubernetes sets in every pod beside a service that is called tandem.
bool IsOfOthers(std::string_view name) {
  static const std::set<std::string_view> kOthers = {"CACHE",        "DATA",    "SERVER",  "DEPS",           "PYTHON",
                                                     "PYTHON_PROTO", "GRPCURL", "BIN_DIR", "TEST_MODEL_DIR", "JOBS"};
  return kOthers.contains(name) || name.starts_with("KILL_TEST_") || name.starts_with("SERVICE_") || name == "PORT" ||
         name.starts_with("PORT_");
}

absl::Status ReadEnvironment() {
  constexpr std::string_view kPrefix = "TANDEM_";
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == text.npos) continue;
    const std::string_view name = text.substr(kPrefix.size(), equals - kPrefix.size());
    const std::string flag_name = absl::AsciiStrToLower(AbslView(name));
    if (std::find(std::begin(kFlags), std::end(kFlags), flag_name) == std::end(kFlags)) {
      if (IsOfOthers(name)) continue;
      return absl::InvalidArgumentError(Concat("environment: ", kPrefix, name, " is no setting of tandemd"));
    }
    const std::string_view value = text.substr(equals + 1);
    std::string error;
    if (!absl::FindCommandLineFlag(flag_name)->ParseFrom(AbslView(value), &error)) {
      return absl::InvalidArgumentError(Concat("environment: ", kPrefix, name, "=", value, ": ", error));
    }
  }
  return absl::OkStatus();
}

// --data-dir is --data_dir, which is how Abseil knows it.
std::vector<std::string> WithUnderscores(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  for (size_t i = 1; i < arguments.size() && arguments[i] != "--"; ++i) {
    std::string& argument = arguments[i];
    if (!argument.starts_with("--")) continue;
    const auto end = std::find(argument.begin() + 2, argument.end(), '=');
    std::replace(argument.begin() + 2, end, '-', '_');
  }
  return arguments;
}

int64_t HalfOfMemory() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  // Of the container, by cgroup v2 or v1.
  for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t limit = 0;
    if (std::ifstream(file) >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes / 2;
}

absl::Status CheckFlag(std::string_view flag, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat("--", flag, "=", value, ": must be in [", least, ", ", most, "]"));
}

int OrCores(int threads) {
  return threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

absl::StatusOr<ServerFlags> ReadFlags(int argc, char** argv) {
  absl::SetProgramUsageMessage("serves tandem.v1 over gRPC. Each flag is also an environment variable, TANDEM_<FLAG>.");
  absl::FlagsUsageConfig usage;
  usage.version_string = [] { return std::string("tandemd " TANDEM_VERSION "\n"); };
  usage.contains_help_flags = [](absl::string_view file) { return absl::EndsWith(file, "server/flags.cc"); };
  absl::SetFlagsUsageConfig(usage);
  RETURN_IF_ERROR(ReadEnvironment());
  std::vector<std::string> arguments = WithUnderscores(argc, argv);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const auto rest = absl::ParseCommandLine(static_cast<int>(pointers.size()), pointers.data());
  if (rest.size() > 1) return absl::InvalidArgumentError(Concat("\"", rest[1], "\": tandemd takes flags only"));

  RETURN_IF_ERROR(CheckFlag("threads", absl::GetFlag(FLAGS_threads), 0, 1024));
  RETURN_IF_ERROR(CheckFlag("trainer-threads", absl::GetFlag(FLAGS_trainer_threads), 0, 1024));
  RETURN_IF_ERROR(CheckFlag("max-queued-calls", absl::GetFlag(FLAGS_max_queued_calls), 1, 1'000'000));
  RETURN_IF_ERROR(CheckFlag("max-lag", absl::GetFlag(FLAGS_max_lag), 1, INT64_MAX));
  RETURN_IF_ERROR(CheckFlag("seal-fresh", absl::GetFlag(FLAGS_seal_fresh), 1, INT64_MAX));
  RETURN_IF_ERROR(CheckFlag("keep-versions", absl::GetFlag(FLAGS_keep_versions), 0, INT64_MAX));
  const absl::Duration log_age = absl::GetFlag(FLAGS_search_log_age);
  if (log_age <= absl::ZeroDuration() || log_age > absl::Hours(90 * 24)) {
    return absl::InvalidArgumentError(
        Concat("--search-log-age: ", absl::FormatDuration(log_age), ": must be above 0 and at most 2160h"));
  }
  RETURN_IF_ERROR(CheckFlag("search-log-size", absl::GetFlag(FLAGS_search_log_size), 1, INT64_MAX));
  ServerFlags flags{.listen = absl::GetFlag(FLAGS_listen),
                    .port_file = absl::GetFlag(FLAGS_port_file),
                    .data_directory = absl::GetFlag(FLAGS_data_dir),
                    .model_import_directory = absl::GetFlag(FLAGS_model_import_dir),
                    .snapshot_directory = absl::GetFlag(FLAGS_snapshot_dir),
                    .trainer_binary = absl::GetFlag(FLAGS_trainer_binary),
                    .threads = OrCores(absl::GetFlag(FLAGS_threads)),
                    .trainer_threads = OrCores(absl::GetFlag(FLAGS_trainer_threads)),
                    .memory_budget_bytes = absl::GetFlag(FLAGS_memory_budget).bytes,
                    .trainer_memory_bytes = absl::GetFlag(FLAGS_trainer_memory).bytes,
                    .max_queued_calls = absl::GetFlag(FLAGS_max_queued_calls),
                    .max_lag = absl::GetFlag(FLAGS_max_lag),
                    .seal_fresh = absl::GetFlag(FLAGS_seal_fresh),
                    .keep_versions = absl::GetFlag(FLAGS_keep_versions),
                    .search_log_age = absl::GetFlag(FLAGS_search_log_age),
                    .search_log_size = absl::GetFlag(FLAGS_search_log_size),
                    .drain_timeout = absl::GetFlag(FLAGS_drain_timeout),
                    .log_level = absl::GetFlag(FLAGS_log_level)};
  if (flags.memory_budget_bytes == 0) flags.memory_budget_bytes = HalfOfMemory();
  if (flags.trainer_binary.empty()) {
    std::error_code error;
    flags.trainer_binary = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "tandem-trainer";
  }
  // Paths reach the trainer, which runs elsewhere.
  flags.data_directory = std::filesystem::absolute(flags.data_directory).lexically_normal();
  if (flags.snapshot_directory.empty()) flags.snapshot_directory = flags.data_directory / "snapshots";
  return flags;
}

}  // namespace tandem
