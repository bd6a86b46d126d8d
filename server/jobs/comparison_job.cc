#include "server/jobs/comparison_job.h"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "server/base/files.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/release_comparison.h"
#include "server/release/retrieval.h"

namespace tandem {
namespace {

using nlohmann::json;

constexpr size_t kQueriesAtOnce = 64;  // A cancel waits for so many.

// Beyond the row; the form reaches disk.
struct Plan {
  std::string first, second, evaluation_set;
  int top_k = 0;
};

json ToJson(const Plan& plan) {
  return {
      {"first", plan.first}, {"second", plan.second}, {"evaluation_set", plan.evaluation_set}, {"top_k", plan.top_k}};
}

absl::StatusOr<Plan> PlanFromJson(const std::string& text) {
  const json from = json::parse(text, nullptr, /*allow_exceptions=*/false);
  Plan plan;
  ObjectReader reader("plan of a comparison", from);
  reader.Read("first", plan.first);
  reader.Read("second", plan.second);
  reader.Read("evaluation_set", plan.evaluation_set);
  reader.Read("top_k", plan.top_k);
  RETURN_IF_ERROR(reader.Finish());
  return plan;
}

// Texts of a request, as the input holds them: {"queries": [...]}. A request's texts are UTF-8.
absl::StatusOr<std::vector<EvaluationQuery>> ReadTexts(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const json from = json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<std::string> texts;
  ObjectReader reader("input of a comparison", from);
  reader.Read("queries", texts);
  RETURN_IF_ERROR(reader.Finish());
  std::vector<EvaluationQuery> queries;
  for (std::string& query : texts) queries.push_back({.text = std::move(query), .judgements = {}});
  return queries;
}

// A release at one commit.
struct Side {
  std::shared_ptr<const ActiveRelease> release;
  std::shared_ptr<const IndexSnapshot> snapshot;
};

class ComparisonRun {
 public:
  ComparisonRun(const ComparisonRooms& rooms, const ServerJob& job, Plan plan)
      : rooms_(rooms), job_(job), plan_(std::move(plan)), judged_(!plan_.evaluation_set.empty()) {}

  absl::StatusOr<ReleaseComparison> Run() {
    const std::string& tenant = job_.record.tenant;
    const std::string& collection = job_.record.collection;
    ASSIGN_OR_RETURN(const std::vector<EvaluationQuery> queries,
                     judged_ ? rooms_.meta->ReadEvaluationQueries(tenant, collection, plan_.evaluation_set)
                             : ReadTexts(job_.directory / kInputFile));
    ASSIGN_OR_RETURN(documents_, rooms_.collections->Documents(tenant, collection));
    pin_ = documents_->PinVersions();
    ASSIGN_OR_RETURN(const Side first, Open(plan_.first));
    ASSIGN_OR_RETURN(const Side second, Open(plan_.second));
    ReleaseComparer comparer(plan_.top_k, judged_);
    const auto total = static_cast<int64_t>(queries.size());
    for (size_t begin = 0; begin < queries.size(); begin += kQueriesAtOnce) {
      RETURN_IF_ERROR(job_.progress(static_cast<int64_t>(begin), total));
      const auto chunk = std::span(queries).subspan(begin, std::min(kQueriesAtOnce, queries.size() - begin));
      RETURN_IF_ERROR(CompareOn(chunk, first, second, &comparer));
    }
    RETURN_IF_ERROR(job_.progress(total, total));
    ReleaseComparison comparison = comparer.Finish();
    comparison.first.release = plan_.first;
    comparison.first.commit = first.snapshot->commit();
    comparison.second.release = plan_.second;
    comparison.second.commit = second.snapshot->commit();
    return comparison;
  }

 private:
  absl::StatusOr<Side> Open(const std::string& id) {
    Side side;
    ASSIGN_OR_RETURN(side.release, rooms_.collections->Opened(job_.record.tenant, job_.record.collection, id));
    side.snapshot = side.release->index->snapshot();
    if (side.snapshot->commit() < *pin_) {
      return absl::UnavailableError(Concat("releases/", id, " stopped following just now: compare again"));
    }
    return side;
  }

  absl::Status CompareOn(std::span<const EvaluationQuery> queries, const Side& first, const Side& second,
                         ReleaseComparer* comparer) {
    std::vector<std::string> texts;
    for (const EvaluationQuery& query : queries) texts.push_back(query.text);
    ASSIGN_OR_RETURN(const std::vector<float> vectors,
                     EmbedQueries(*first.release, texts, rooms_.queue, absl::InfiniteFuture()));
    ASSIGN_OR_RETURN(const auto first_hits, Retrieve(*first.snapshot, vectors, comparer->hits(), documents_.get()));
    // Two releases of one revision differ in their indexes only.
    std::vector<float> other;
    if (second.release->encoder != first.release->encoder) {
      ASSIGN_OR_RETURN(other, EmbedQueries(*second.release, texts, rooms_.queue, absl::InfiniteFuture()));
    }
    ASSIGN_OR_RETURN(const auto second_hits,
                     Retrieve(*second.snapshot, other.empty() ? vectors : other, comparer->hits(), documents_.get()));
    for (size_t i = 0; i < queries.size(); ++i) comparer->Add(queries[i], first_hits[i], second_hits[i]);
    return absl::OkStatus();
  }

  const ComparisonRooms& rooms_;
  const ServerJob& job_;
  const Plan plan_;
  const bool judged_;
  std::shared_ptr<DocumentStore> documents_;
  DocumentStore::Pin pin_;  // Of the versions that both snapshots show.
};

}  // namespace

absl::StatusOr<ComparisonPlan> PlanComparison(const ComparisonRequest& request, MetaStore* meta,
                                              Collections* collections) {
  for (const std::string& release : {request.first, request.second}) {
    ASSIGN_OR_RETURN(const auto opened, collections->Opened(request.tenant, request.collection, release));
    if (opened->encoder == nullptr) {
      return absl::FailedPreconditionError(
          Concat("collections/", request.collection, " is EXTERNAL: its releases embed no queries to compare by"));
    }
  }
  ComparisonPlan plan;
  plan.job.tenant = request.tenant;
  plan.job.kind = JobKind::kCompareReleases;
  plan.job.collection = request.collection;
  plan.job.options_json = ToJson(Plan{request.first, request.second, request.evaluation_set, request.top_k}).dump();
  if (request.evaluation_set.empty()) {
    plan.input = json{{"queries", request.queries}}.dump();
  } else {
    RETURN_IF_ERROR(meta->GetEvaluationSet(request.tenant, request.collection, request.evaluation_set).status());
  }
  return plan;
}

ServerJobBody ComparisonBody(const ComparisonRooms& rooms) {
  return [rooms](const ServerJob& job) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(Plan plan, PlanFromJson(job.record.options_json));
    ASSIGN_OR_RETURN(const ReleaseComparison comparison, ComparisonRun(rooms, job, std::move(plan)).Run());
    return ToJson(comparison).dump(-1, ' ', false, json::error_handler_t::replace);
  };
}

}  // namespace tandem
