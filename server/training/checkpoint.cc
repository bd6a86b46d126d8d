#include "server/training/checkpoint.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kFormat = 3;
constexpr char kStateFile[] = "checkpoint.json";
constexpr size_t kKeptCheckpoints = 2;

json StateToJson(const TrainerState& state) {
  json out = {{"step", state.step},
              {"epoch", state.epoch},
              {"position", state.position},
              {"validated_step", state.validated_step},
              {"validations_since_best", state.validations_since_best}};
  if (state.last_validation) out["last_validation"] = ToJson(*state.last_validation);
  if (state.best) {
    out["best"] = {
        {"step", state.best->step}, {"validation", ToJson(state.best->validation)}, {"saved", state.best->saved}};
  }
  return out;
}

absl::Status TakeNumber(const json& object, const char* key, int64_t& out) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number_integer() || object[key] < 0) {
    return absl::DataLossError(Concat(kStateFile, ": ", key, " is missing or not a whole number"));
  }
  out = object[key].get<int64_t>();
  return absl::OkStatus();
}

absl::StatusOr<TrainerState> StateFromJson(const json& in) {
  TrainerState state;
  RETURN_IF_ERROR(TakeNumber(in, "step", state.step));
  RETURN_IF_ERROR(TakeNumber(in, "epoch", state.epoch));
  RETURN_IF_ERROR(TakeNumber(in, "position", state.position));
  RETURN_IF_ERROR(TakeNumber(in, "validated_step", state.validated_step));
  RETURN_IF_ERROR(TakeNumber(in, "validations_since_best", state.validations_since_best));
  if (in.contains("last_validation")) {
    ASSIGN_OR_RETURN(state.last_validation, ValidationResultFromJson(in["last_validation"]));
  }
  if (in.contains("best")) {
    BestWeights best;
    RETURN_IF_ERROR(TakeNumber(in["best"], "step", best.step));
    ASSIGN_OR_RETURN(best.validation, ValidationOutcomesFromJson(in["best"].value("validation", json())));
    best.saved = in["best"].value("saved", json()) == json(true);
    state.best = best;
  }
  return state;
}

absl::StatusOr<int64_t> FileCrc(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  return static_cast<int64_t>(Crc32c(bytes));
}

// Paths below `directory` with their checksums.
absl::StatusOr<json> Checksums(const fs::path& directory) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, ListFiles(directory));
  json files = json::object();
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(files[path], FileCrc(directory / path));
  }
  return files;
}

// Runs `fill` on a fresh staging directory and publishes it as `target`, in place of what is there.
template <typename Fill>
absl::Status Publish(const fs::path& target, Fill fill) {
  ASSIGN_OR_RETURN(const fs::path staging, MakeStagingDirectory(target));
  absl::Status status = fill(staging);
  if (status.ok()) status = RemoveTree(target);
  if (status.ok()) status = PublishDirectory(staging, target);
  if (!status.ok()) RemoveTree(staging).IgnoreError();
  return status;
}

}  // namespace

CheckpointDirectory::CheckpointDirectory(fs::path job_directory, fs::path base_directory)
    : job_directory_(std::move(job_directory)), base_directory_(std::move(base_directory)) {}

absl::Status CheckpointDirectory::Save(const TrainerState& state, const TextModel& model,
                                       const AdamW& optimizer) const {
  RETURN_IF_ERROR(Publish(job_directory_ / Concat(kCheckpointPrefix, state.step), [&](const fs::path& staging) {
    const Found files{staging, {}};
    if (model.has_lora()) {
      RETURN_IF_ERROR(model.SaveLora(files.adapters_file()));
    } else {
      RETURN_IF_ERROR(CreateDirectories(files.model_directory()));
      RETURN_IF_ERROR(model.Save(base_directory_, files.model_directory()));
    }
    RETURN_IF_ERROR(optimizer.Save(files.optimizer_file()));
    ASSIGN_OR_RETURN(json checksums, Checksums(staging));
    const json whole = {{"format", kFormat}, {"state", StateToJson(state)}, {"files", std::move(checksums)}};
    return WriteFileDurably(staging / kStateFile, whole.dump());
  }));
  return Prune(state.best ? std::optional(state.best->step) : std::nullopt);
}

fs::path CheckpointDirectory::BestPath(int64_t step) const { return job_directory_ / Concat(kBestPrefix, step); }

absl::Status CheckpointDirectory::SaveBest(int64_t step, const TextModel& model) const {
  RETURN_IF_ERROR(
      Publish(BestPath(step), [&](const fs::path& staging) { return model.Save(base_directory_, staging); }));
  return Prune(step);
}

absl::StatusOr<std::optional<CheckpointDirectory::Found>> CheckpointDirectory::FindNewest(
    std::vector<std::string>& problems) const {
  for (const int64_t step : StepsOf(kCheckpointPrefix)) {
    const fs::path path = job_directory_ / Concat(kCheckpointPrefix, step);
    absl::StatusOr<TrainerState> state = Check(path);
    if (state.ok()) return Found{path, *std::move(state)};
    if (state.status().code() != absl::StatusCode::kDataLoss) return state.status();
    problems.push_back(Concat(path.filename().string(), " is damaged and left out: ", state.status().message()));
    RETURN_IF_ERROR(RemoveTree(path));
  }
  return std::nullopt;
}

absl::StatusOr<TrainerState> CheckpointDirectory::Check(const fs::path& checkpoint) const {
  const absl::StatusOr<std::string> bytes = ReadFile(checkpoint / kStateFile);
  if (absl::IsNotFound(bytes.status())) return absl::DataLossError(Concat(kStateFile, " is missing"));
  RETURN_IF_ERROR(bytes.status());
  const json whole = json::parse(*bytes, nullptr, /*allow_exceptions=*/false);
  if (!whole.is_object() || !whole.contains("files") || !whole["files"].is_object()) {
    return absl::DataLossError(Concat(kStateFile, ": not a checkpoint"));
  }
  if (whole.value("format", json()) != json(kFormat)) {
    return absl::DataLossError(Concat(kStateFile, ": format is not ", kFormat));
  }
  for (const auto& [path, checksum] : whole["files"].items()) {
    const absl::StatusOr<int64_t> found = FileCrc(checkpoint / path);
    if (absl::IsNotFound(found.status())) return absl::DataLossError(Concat(path, " is missing"));
    RETURN_IF_ERROR(found.status());
    if (checksum != json(*found)) return absl::DataLossError(Concat(path, ": its checksum is wrong"));
  }
  ASSIGN_OR_RETURN(TrainerState state, StateFromJson(whole.value("state", json())));
  if (state.best && state.best->saved && !fs::exists(BestPath(state.best->step))) {
    return absl::DataLossError(
        Concat(BestPath(state.best->step).filename().string(), ", its best weights, is missing"));
  }
  return state;
}

absl::Status CheckpointDirectory::Prune(std::optional<int64_t> best_step) const {
  std::set<int64_t> wanted_best;
  if (best_step) wanted_best.insert(*best_step);
  const std::vector<int64_t> steps = StepsOf(kCheckpointPrefix);
  for (size_t i = 0; i < steps.size(); ++i) {
    const fs::path path = job_directory_ / Concat(kCheckpointPrefix, steps[i]);
    if (i >= kKeptCheckpoints) {
      RETURN_IF_ERROR(RemoveTree(path));
      continue;
    }
    // An unreadable one will be left out by FindNewest; what it wanted matters no more.
    const absl::StatusOr<std::string> bytes = ReadFile(path / kStateFile);
    const json whole = bytes.ok() ? json::parse(*bytes, nullptr, false) : json();
    if (!whole.is_object()) continue;
    const absl::StatusOr<TrainerState> kept = StateFromJson(whole.value("state", json()));
    if (kept.ok() && kept->best) wanted_best.insert(kept->best->step);
  }
  for (const int64_t step : StepsOf(kBestPrefix)) {
    if (!wanted_best.contains(step)) RETURN_IF_ERROR(RemoveTree(BestPath(step)));
  }
  return absl::OkStatus();
}

std::vector<int64_t> CheckpointDirectory::StepsOf(std::string_view prefix) const {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(job_directory_, error)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    if (name.starts_with(prefix) && absl::SimpleAtoi(name.substr(prefix.size()), &step)) steps.push_back(step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

}  // namespace tandem
