#include "server/base/log.h"

#include <memory>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include "server/base/strings.h"

namespace tandem {
namespace {

bool ParseLevel(std::string_view name, spdlog::level::level_enum* level) {
  if (name == "trace")
    *level = spdlog::level::trace;
  else if (name == "debug")
    *level = spdlog::level::debug;
  else if (name == "info")
    *level = spdlog::level::info;
  else if (name == "warning")
    *level = spdlog::level::warn;
  else if (name == "error")
    *level = spdlog::level::err;
  else
    return false;
  return true;
}

}  // namespace

absl::Status SetUpLogging(std::string_view level_name) {
  spdlog::level::level_enum level;
  if (!ParseLevel(level_name, &level)) {
    return absl::InvalidArgumentError(
        Concat("log level \"", level_name, "\": must be trace, debug, info, warning or error"));
  }
  auto logger = std::make_shared<spdlog::logger>("tandem", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_formatter(
      std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
  logger->set_level(level);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

}  // namespace tandem
