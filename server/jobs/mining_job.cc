#include "server/jobs/mining_job.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "server/base/files.h"
#include "server/base/ids.h"
#include "server/base/loss_options.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/checked_request.h"
#include "server/jobs/job_examples.h"
#include "server/jobs/negative_miner.h"

namespace tandem {
namespace {

using nlohmann::json;

// Pairs that are searched for at once: a cancel waits for so many.
constexpr size_t kPairsAtOnce = 32;
// One transaction of the store, which others wait for.
constexpr size_t kPairsPerAppend = 500;
constexpr size_t kBytesPerAppend = 4 << 20;

// In the job's own directory; published when it is whole.
constexpr char kMinedDirectory[] = "mined";
constexpr char kPairsFile[] = "pairs.jsonl";   // Lines as LineOf writes them.
constexpr char kResultFile[] = "result.json";  // A MiningResult of which nothing is appended.

// What a job was asked to do, beyond its row: JobRecord.options_json. The form reaches disk.
struct MiningPlan {
  int64_t dataset_commit = 0;
  bool only_with_negatives = false;
  NegativeMiningOptions options;
};

json ToJson(const MiningPlan& plan) {
  return {{"dataset_commit", plan.dataset_commit},
          {"only_with_negatives", plan.only_with_negatives},
          {"mining", ToJson(plan.options)}};
}

absl::StatusOr<MiningPlan> MiningPlanFromJson(const std::string& text) {
  const json from = json::parse(text, nullptr, /*allow_exceptions=*/false);
  MiningPlan plan;
  ObjectReader reader("plan of negative mining", from);
  reader.Read("dataset_commit", plan.dataset_commit);
  reader.Read("only_with_negatives", plan.only_with_negatives);
  const json* const options = reader.Find("mining");
  RETURN_IF_ERROR(reader.Finish());
  if (options == nullptr) return absl::InvalidArgumentError("plan of negative mining: no \"mining\"");
  ASSIGN_OR_RETURN(plan.options, NegativeMiningOptionsFromJson(*options));
  return plan;
}

absl::Status CheckPair(const char* field, const std::string& dataset, const StoredExample& stored) {
  if (stored.example.kind == ExampleKind::kPair) return absl::OkStatus();
  return InvalidField(field,
                      Concat("datasets/", dataset, ": the example of commit ", stored.commit, " is ",
                             NameOf(static_cast<ExampleForm>(stored.example.kind)), ": negatives are mined for pairs"));
}

// A training takes examples of one form only.
absl::Status CheckTarget(const MiningRequest& request, MetaStore* meta) {
  const absl::StatusOr<DatasetRecord> target = meta->GetDataset(request.tenant, request.target_dataset);
  if (absl::IsNotFound(target.status())) return absl::OkStatus();
  RETURN_IF_ERROR(target.status());
  ASSIGN_OR_RETURN(const std::vector<StoredExample> first,
                   meta->ReadExamples(request.tenant, target->id, 0, target->commit, 1, 0));
  return first.empty() ? absl::OkStatus() : CheckPair("target_dataset", target->id, first[0]);
}

// Writes the pairs with what was found for them, and counts.
class MinedFile {
 public:
  MinedFile(const std::filesystem::path& directory, bool only_with_negatives)
      : directory_(directory),
        only_with_negatives_(only_with_negatives),
        file_(directory / kPairsFile, std::ios::binary) {}

  void Add(const MinedPair& mined) {
    ++pairs_;
    positive_scores_ += mined.positive_score;
    negative_scores_ += mined.negative_scores;
    result_.negatives += mined.found;
    if (mined.found == 0) ++result_.pairs_without_negatives;
    if (!only_with_negatives_ || !mined.pair.negatives.empty()) file_ << LineOf(mined.pair);
  }

  absl::Status Finish(const std::string& release, int64_t release_commit) {
    file_.close();
    if (!file_) return absl::ResourceExhaustedError(Concat((directory_ / kPairsFile).string(), ": cannot be written"));
    result_.release = release;
    result_.release_commit = release_commit;
    if (pairs_ > 0) result_.mean_positive_score = positive_scores_ / static_cast<double>(pairs_);
    if (result_.negatives > 0) result_.mean_negative_score = negative_scores_ / static_cast<double>(result_.negatives);
    return WriteFileDurably(directory_ / kResultFile, ToJson(result_).dump());
  }

 private:
  const std::filesystem::path directory_;
  const bool only_with_negatives_;
  std::ofstream file_;
  MiningResult result_;
  int64_t pairs_ = 0;
  double positive_scores_ = 0, negative_scores_ = 0;
};

// One attempt.
class MiningRun {
 public:
  MiningRun(const MiningRooms& rooms, const ServerJob& job, MiningPlan plan)
      : rooms_(rooms), job_(job), plan_(std::move(plan)), mined_directory_(job.directory / kMinedDirectory) {}

  absl::StatusOr<std::string> Run() {
    std::error_code error;
    if (!std::filesystem::is_directory(mined_directory_, error)) {
      if (!job_.record.result_json.empty()) {
        return absl::DataLossError(Concat(mined_directory_.string(), ": is gone, and a part of it is appended"));
      }
      RETURN_IF_ERROR(MineAll());
    }
    ASSIGN_OR_RETURN(const MiningResult result, AppendAll());
    return ToJson(result).dump();
  }

 private:
  // Calls `visit` for each pair of the dataset. Errors of `visit` end it.
  absl::Status VisitPairs(const std::function<absl::Status(const StoredExample&)>& visit) {
    return VisitExamples(rooms_.meta, job_.record.tenant, {job_.record.dataset, plan_.dataset_commit}, visit);
  }

  absl::Status MineAll() {
    const std::string& tenant = job_.record.tenant;
    const std::string& collection = job_.record.collection;
    ASSIGN_OR_RETURN(const std::shared_ptr<const ActiveRelease> release, rooms_.collections->Live(tenant, collection));
    ASSIGN_OR_RETURN(std::shared_ptr<DocumentStore> documents, rooms_.collections->Documents(tenant, collection));
    NegativeMiner miner(release, std::move(documents), rooms_.queue, plan_.options);
    job_.message(
        Concat("searches with collections/", collection, "/releases/", release->id, " at commit ", miner.commit()));
    RETURN_IF_ERROR(VisitPairs([&](const StoredExample& stored) {
      miner.Learn(stored.example);
      return job_.progress(0, plan_.dataset_commit);
    }));
    RETURN_IF_ERROR(RemoveStaging(job_.directory));
    ASSIGN_OR_RETURN(const std::filesystem::path staging, MakeStagingDirectory(mined_directory_));
    MinedFile file(staging, plan_.only_with_negatives);
    RETURN_IF_ERROR(MinePages(miner, file));
    RETURN_IF_ERROR(file.Finish(release->id, miner.commit()));
    return PublishDirectory(staging, mined_directory_);
  }

  absl::Status MinePages(NegativeMiner& miner, MinedFile& file) {
    std::vector<Example> page;
    return VisitPairs([&](const StoredExample& stored) -> absl::Status {
      page.push_back(stored.example);
      if (page.size() < kPairsAtOnce && stored.commit < plan_.dataset_commit) return absl::OkStatus();
      ASSIGN_OR_RETURN(const std::vector<MinedPair> mined, miner.Mine(std::move(page)));
      page.clear();
      for (const MinedPair& pair : mined) file.Add(pair);
      return job_.progress(stored.commit, plan_.dataset_commit);
    });
  }

  absl::StatusOr<MiningResult> ReadResult() {
    std::string text = job_.record.result_json;
    if (text.empty()) {
      ASSIGN_OR_RETURN(text, ReadFile(mined_directory_ / kResultFile));
    }
    return MiningResultFromJson(json::parse(text, nullptr, /*allow_exceptions=*/false));
  }

  // Goes on after what is appended already. The first page is stored even if it is empty: it makes the dataset.
  absl::StatusOr<MiningResult> AppendAll() {
    ASSIGN_OR_RETURN(MiningResult result, ReadResult());
    bool begun = !job_.record.result_json.empty();
    const std::filesystem::path path = mined_directory_ / kPairsFile;
    std::ifstream file(path, std::ios::binary);
    if (!file) return absl::InternalError(Concat(path.string(), ": cannot be opened"));
    std::string line;
    for (int64_t done = 0; done < result.pairs && std::getline(file, line);) ++done;
    while (true) {
      ASSIGN_OR_RETURN(const std::vector<Example> page, ReadPage(file));
      if (page.empty() && begun) break;
      ASSIGN_OR_RETURN(result, Append(page, result));
      begun = true;
      const absl::Status asked = job_.progress(plan_.dataset_commit, plan_.dataset_commit);
      if (!asked.ok() && !absl::IsCancelled(asked)) return asked;
    }
    if (!file.eof()) return absl::InternalError(Concat(path.string(), ": cannot be read"));
    return result;
  }

  absl::StatusOr<std::vector<Example>> ReadPage(std::ifstream& file) {
    std::vector<Example> page;
    size_t bytes = 0;
    std::string line;
    while (page.size() < kPairsPerAppend && bytes < kBytesPerAppend && std::getline(file, line)) {
      bytes += line.size();
      const json pair = json::parse(line, nullptr, /*allow_exceptions=*/false);
      Example& example = page.emplace_back();
      ObjectReader reader(Concat(kPairsFile, " of jobs/", job_.record.id), pair);
      reader.Read("anchor", example.anchor);
      reader.Read("positives", example.positives);
      reader.Read("negatives", example.negatives);
      RETURN_IF_ERROR(reader.Finish());
    }
    return page;
  }

  absl::StatusOr<MiningResult> Append(const std::vector<Example>& page, MiningResult result) {
    const int64_t added = static_cast<int64_t>(page.size());
    const auto with = [&](int64_t last_commit) {
      if (added > 0 && result.pairs == 0) result.first_commit = last_commit - added + 1;
      if (added > 0) result.last_commit = last_commit;
      result.pairs += added;
      return ToJson(result).dump();
    };
    RETURN_IF_ERROR(rooms_.meta->AppendJobExamples(job_.record, page, with).status());
    return result;
  }

  const MiningRooms& rooms_;
  const ServerJob& job_;
  const MiningPlan plan_;
  const std::filesystem::path mined_directory_;
};

}  // namespace

absl::StatusOr<JobRecord> PlanMining(const MiningRequest& request, MetaStore* meta, Collections* collections) {
  ASSIGN_OR_RETURN(const DatasetCommit dataset, ChosenCommit(meta, request.tenant, request.dataset, "dataset_commit"));
  ASSIGN_OR_RETURN(const CollectionRecord collection, meta->GetCollection(request.tenant, request.collection));
  if (collection.external) {
    return InvalidField("collection",
                        Concat("collections/", request.collection,
                               ": its documents bring their vectors, and no model embeds anchors for it"));
  }
  if (dataset.commit == 0) return InvalidField("dataset", Concat("datasets/", dataset.dataset, ": has no examples"));
  RETURN_IF_ERROR(VisitExamples(meta, request.tenant, dataset, [&](const StoredExample& stored) {
    return CheckPair("dataset", dataset.dataset, stored);
  }));
  RETURN_IF_ERROR(CheckTarget(request, meta));
  RETURN_IF_ERROR(collections->Live(request.tenant, request.collection).status());
  JobRecord job;
  job.tenant = request.tenant;
  job.kind = JobKind::kMineNegatives;
  job.options_json = ToJson(MiningPlan{dataset.commit, request.only_with_negatives, request.options}).dump();
  job.dataset = dataset.dataset;
  job.datasets = {dataset.dataset};
  job.collection = request.collection;
  job.target_dataset = request.target_dataset.empty() ? NewId() : request.target_dataset;
  return job;
}

json ToJson(const MiningResult& result) {
  return {{"pairs", result.pairs},
          {"first_commit", result.first_commit},
          {"last_commit", result.last_commit},
          {"pairs_without_negatives", result.pairs_without_negatives},
          {"negatives", result.negatives},
          {"release", result.release},
          {"release_commit", result.release_commit},
          {"mean_positive_score", result.mean_positive_score},
          {"mean_negative_score", result.mean_negative_score}};
}

absl::StatusOr<MiningResult> MiningResultFromJson(const json& from) {
  MiningResult result;
  ObjectReader reader("result of negative mining", from);
  reader.Read("pairs", result.pairs);
  reader.Read("first_commit", result.first_commit);
  reader.Read("last_commit", result.last_commit);
  reader.Read("pairs_without_negatives", result.pairs_without_negatives);
  reader.Read("negatives", result.negatives);
  reader.Read("release", result.release);
  reader.Read("release_commit", result.release_commit);
  reader.Read("mean_positive_score", result.mean_positive_score);
  reader.Read("mean_negative_score", result.mean_negative_score);
  RETURN_IF_ERROR(reader.Finish());
  return result;
}

ServerJobBody MiningBody(const MiningRooms& rooms) {
  return [rooms](const ServerJob& job) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(MiningPlan plan, MiningPlanFromJson(job.record.options_json));
    return MiningRun(rooms, job, std::move(plan)).Run();
  };
}

}  // namespace tandem
