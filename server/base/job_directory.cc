#include "server/base/job_directory.h"

#include <limits>
#include <set>
#include <string_view>
#include <type_traits>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int64_t kMostSteps = 10'000'000;

absl::Status CheckRange(std::string_view path, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in [", least, ", ", most, "]"));
}

absl::Status CheckRange(std::string_view path, std::optional<int64_t> value, int64_t least, int64_t most) {
  return value ? CheckRange(path, *value, least, most) : absl::OkStatus();
}

// In (0, most]. Not-a-number is out of every range.
absl::Status CheckPositive(std::string_view path, double value, double most) {
  if (value > 0 && value <= most) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in (0, ", most, "]"));
}

absl::Status CheckFraction(std::string_view path, double value, double most) {
  if (value >= 0 && value <= most) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in [0, ", most, "]"));
}

absl::Status CheckAtLeast(std::string_view path, std::optional<int64_t> value, int64_t least) {
  if (!value || *value >= least) return absl::OkStatus();
  return InvalidField(path, Concat(*value, ": must be at least ", least));
}

// Takes the keys of one object into variables; remembers the first fault.
class ObjectReader {
 public:
  explicit ObjectReader(const nlohmann::json& json) : json_(json) {
    if (!json.is_object()) status_ = absl::InvalidArgumentError("trainer options: not a JSON object");
  }

  template <typename T>
  void Read(const char* key, T& out) {
    known_.insert(key);
    if (!status_.ok()) return;
    const auto found = json_.find(key);
    if (found == json_.end()) return;
    if (!Take(*found, out)) {
      status_ = absl::InvalidArgumentError(Concat("trainer options: ", key, ": ",
                                                  found->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace),
                                                  " is not of the type or range that this key has"));
    }
  }

  absl::Status Finish() {
    if (!status_.ok()) return status_;
    for (const auto& [key, value] : json_.items()) {
      if (!known_.contains(key)) {
        return absl::InvalidArgumentError(Concat("trainer options: unknown key \"", key, "\""));
      }
    }
    return absl::OkStatus();
  }

 private:
  template <typename T>
  static bool Take(const nlohmann::json& value, std::optional<T>& out) {
    T inner{};
    if (!Take(value, inner)) return false;
    out = inner;
    return true;
  }

  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_same_v<T, std::string>
  static bool Take(const nlohmann::json& value, T& out) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (!value.is_string()) return false;
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!value.is_boolean()) return false;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!value.is_number()) return false;
    } else {
      if (!value.is_number_integer()) return false;
      if (value.is_number_unsigned() && value.template get<uint64_t>() > INT64_MAX) return false;
      const int64_t wide = value.template get<int64_t>();
      if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) return false;
    }
    out = value.template get<T>();
    return true;
  }

  // All enums of the options count from 1 without a gap; `Last` finds the end.
  template <typename T>
  requires std::is_enum_v<T>
  static bool Take(const nlohmann::json& value, T& out) {
    int number = 0;
    if (!Take(value, number) || number < 1 || number > Last(out)) return false;
    out = static_cast<T>(number);
    return true;
  }
  static int Last(Schedule) { return static_cast<int>(Schedule::kConstant); }
  static int Last(ExampleOrder) { return static_cast<int>(ExampleOrder::kGiven); }
  static int Last(BatchSampler) { return static_cast<int>(BatchSampler::kPlain); }
  static int Last(KeepRevision) { return static_cast<int>(KeepRevision::kLast); }

  const nlohmann::json& json_;
  std::set<std::string, std::less<>> known_;
  absl::Status status_;
};

}  // namespace

absl::Status TrainerOptions::Validate() const {
  RETURN_IF_ERROR(CheckPositive("info_nce.scale", scale, 1000));
  if (symmetric && batch_sampler == BatchSampler::kPlain) {
    return InvalidField("info_nce.symmetric",
                        "true: not with options.batch_sampler PLAIN, whose repeated texts it would push apart");
  }
  RETURN_IF_ERROR(CheckRange("options.batch_size", batch_size, 2, 4096));
  RETURN_IF_ERROR(CheckRange("options.epochs", epochs, 1, 1000));
  RETURN_IF_ERROR(CheckRange("options.max_steps", max_steps, 1, kMostSteps));
  RETURN_IF_ERROR(CheckPositive("options.learning_rate", learning_rate, 1));
  RETURN_IF_ERROR(CheckAtLeast("options.warmup_steps", warmup_steps, 0));
  RETURN_IF_ERROR(CheckFraction("options.weight_decay", weight_decay, 1));
  RETURN_IF_ERROR(CheckPositive("options.max_gradient_norm", max_gradient_norm, 1e6));
  RETURN_IF_ERROR(CheckAtLeast("options.max_length", max_length, 4));
  RETURN_IF_ERROR(CheckAtLeast("options.seed", seed, 0));
  RETURN_IF_ERROR(CheckFraction("options.validation_fraction", validation_fraction, 0.5));
  RETURN_IF_ERROR(CheckRange("options.evaluation_steps", evaluation_steps, 1, kMostSteps));
  RETURN_IF_ERROR(CheckRange("options.checkpoint_steps", checkpoint_steps, 1, kMostSteps));
  if (warmup_steps && max_steps && *warmup_steps >= *max_steps) {
    return InvalidField("options.warmup_steps",
                        Concat(*warmup_steps, ": must be less than options.max_steps ", *max_steps));
  }
  return CheckRange("threads", threads, 1, 1024);
}

std::filesystem::path BaseDirectory(const TrainerOptions& options, const std::filesystem::path& job_directory) {
  return (job_directory / options.base_directory).lexically_normal();
}

nlohmann::json ToJson(const TrainerOptions& options) {
  nlohmann::json json = {{"base_directory", options.base_directory},
                         {"scale", options.scale},
                         {"symmetric", options.symmetric},
                         {"batch_size", options.batch_size},
                         {"epochs", options.epochs},
                         {"learning_rate", options.learning_rate},
                         {"schedule", static_cast<int>(options.schedule)},
                         {"weight_decay", options.weight_decay},
                         {"max_gradient_norm", options.max_gradient_norm},
                         {"seed", options.seed},
                         {"order", static_cast<int>(options.order)},
                         {"batch_sampler", static_cast<int>(options.batch_sampler)},
                         {"validation_fraction", options.validation_fraction},
                         {"checkpoint_steps", options.checkpoint_steps},
                         {"threads", options.threads}};
  if (options.max_steps) json["max_steps"] = *options.max_steps;
  if (options.warmup_steps) json["warmup_steps"] = *options.warmup_steps;
  if (options.max_length) json["max_length"] = *options.max_length;
  if (options.evaluation_steps) json["evaluation_steps"] = *options.evaluation_steps;
  if (options.keep) json["keep"] = static_cast<int>(*options.keep);
  return json;
}

absl::StatusOr<TrainerOptions> TrainerOptionsFromJson(const nlohmann::json& json) {
  TrainerOptions options;
  ObjectReader reader(json);
  reader.Read("base_directory", options.base_directory);
  reader.Read("scale", options.scale);
  reader.Read("symmetric", options.symmetric);
  reader.Read("batch_size", options.batch_size);
  reader.Read("epochs", options.epochs);
  reader.Read("max_steps", options.max_steps);
  reader.Read("learning_rate", options.learning_rate);
  reader.Read("warmup_steps", options.warmup_steps);
  reader.Read("schedule", options.schedule);
  reader.Read("weight_decay", options.weight_decay);
  reader.Read("max_gradient_norm", options.max_gradient_norm);
  reader.Read("max_length", options.max_length);
  reader.Read("seed", options.seed);
  reader.Read("order", options.order);
  reader.Read("batch_sampler", options.batch_sampler);
  reader.Read("validation_fraction", options.validation_fraction);
  reader.Read("evaluation_steps", options.evaluation_steps);
  reader.Read("keep", options.keep);
  reader.Read("checkpoint_steps", options.checkpoint_steps);
  reader.Read("threads", options.threads);
  RETURN_IF_ERROR(reader.Finish());
  if (options.base_directory.empty()) {
    return absl::InvalidArgumentError("trainer options: base_directory is missing");
  }
  return options;
}

}  // namespace tandem
