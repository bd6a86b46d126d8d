#include "server/jobs/feedback.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <utility>

#include <spdlog/spdlog.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/feedback_round.h"

namespace tandem {
namespace {

using nlohmann::json;
using Key = std::pair<std::string, std::string>;  // Tenant and collection.

constexpr size_t kMostTexts = 64;  // Positives, and negatives, of a pair.

// The text of the version that was shown; the current one when that is pruned.
absl::StatusOr<std::string> TextOf(DocumentStore* documents, const LoggedSearch::Hit& hit) {
  const int64_t commit[] = {hit.commit};
  const absl::StatusOr<std::vector<DocumentVersion>> shown = documents->ReadVersions(commit, /*with_text=*/true);
  // The log may still have searches of a collection of this name that is gone.
  if (shown.ok() && (*shown)[0].id == hit.document) return (*shown)[0].text;
  ASSIGN_OR_RETURN(const DocumentVersion current, documents->Get(hit.document));
  return current.text;
}

// Keeps an example below the size that a dataset takes.
void Trim(Example* example) {
  int64_t bytes = static_cast<int64_t>(example->anchor.size());
  const auto keep = [&](std::vector<std::string>* texts) {
    std::vector<std::string> kept;
    for (std::string& text : *texts) {
      if (kept.size() == kMostTexts || bytes + static_cast<int64_t>(text.size()) > kMostExampleBytes) continue;
      bytes += static_cast<int64_t>(text.size());
      kept.push_back(std::move(text));
    }
    *texts = std::move(kept);
  };
  keep(&example->positives);
  keep(&example->negatives);
}

}  // namespace

std::string ToJson(const FeedbackTraining& training) {
  return json{{"trainer", ToJson(training.options)},
              {"target_model", training.target_model},
              {"validation_dataset", training.validation_dataset}}
      .dump();
}

absl::StatusOr<FeedbackTraining> FeedbackTrainingFromJson(std::string_view text) {
  const json from = json::parse(text, nullptr, /*allow_exceptions=*/false);
  FeedbackTraining training;
  ObjectReader reader("training of a feedback policy", from);
  reader.Read("target_model", training.target_model);
  reader.Read("validation_dataset", training.validation_dataset);
  const json* const options = reader.Find("trainer");
  RETURN_IF_ERROR(reader.Finish());
  if (options == nullptr) return absl::InvalidArgumentError("training of a feedback policy: no \"trainer\"");
  json complete = *options;
  if (complete.is_object()) complete["base_directory"] = "of the round";  // Options without one are refused.
  ASSIGN_OR_RETURN(training.options, TrainerOptionsFromJson(complete));
  training.options.base_directory.clear();
  return training;
}

std::vector<Example> ExamplesOf(const std::string& query, const HitJudgement& judgement,
                                const std::vector<HitJudgement>& others) {
  Example pair{.kind = ExampleKind::kPair, .anchor = query};
  std::vector<std::string>& same = judgement.relevant ? pair.positives : pair.negatives;
  std::vector<std::string>& opposite = judgement.relevant ? pair.negatives : pair.positives;
  same.push_back(judgement.text);
  for (const HitJudgement& other : others) {
    if (other.document == judgement.document || other.relevant == judgement.relevant) continue;
    if (other.text != judgement.text) opposite.push_back(other.text);
  }
  // A pair has no empty text.
  for (std::vector<std::string>* const texts : {&pair.positives, &pair.negatives}) std::erase(*texts, "");
  Trim(&pair);
  if (pair.positives.empty() || (!judgement.relevant && pair.negatives.empty())) return {};
  return {std::move(pair)};
}

struct Feedback::Rep {
  Rep(const Rooms& rooms_in, absl::Duration look_every_in) : rooms(rooms_in), look_every(look_every_in) {}

  void Loop();
  void Look();

  const Rooms rooms;
  const absl::Duration look_every;
  std::atomic<bool> stop{false};  // As `stopping`, for work that looks without the lock.
  mutable absl::Mutex mutex;
  std::set<Key> logged ABSL_GUARDED_BY(mutex);
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::thread thread;
};

void Feedback::Rep::Loop() {
  while (true) {
    {
      absl::MutexLock lock(&mutex);
      mutex.AwaitWithTimeout(absl::Condition(&stopping), look_every);
      if (stopping) return;
    }
    Look();
  }
}

void Feedback::Rep::Look() {
  absl::StatusOr<std::vector<FeedbackPolicy>> policies = rooms.meta->AllFeedbackPolicies();
  if (!policies.ok()) {
    spdlog::error("feedback: {}", policies.status().ToString());
    return;
  }
  for (FeedbackPolicy& policy : *policies) {
    if (stop) return;
    const std::string name = Concat("collections/", policy.collection);
    const absl::Status status =
        AdvanceRound({rooms.meta, rooms.collections, rooms.jobs}, std::move(policy), [this] { return stop.load(); });
    // The step is taken again.
    if (!status.ok() && !stop) spdlog::warn("{}: a step of its feedback round failed: {}", name, status.ToString());
  }
}

Feedback::Feedback(const Rooms& rooms, absl::Duration look_every) : rep_(new Rep(rooms, look_every)) {}
Feedback::~Feedback() { Shutdown(); }

absl::Status Feedback::Start() {
  ASSIGN_OR_RETURN(const std::vector<FeedbackPolicy> policies, rep_->rooms.meta->AllFeedbackPolicies());
  {
    absl::MutexLock lock(&rep_->mutex);
    for (const FeedbackPolicy& policy : policies) {
      if (!policy.dataset.empty()) rep_->logged.insert({policy.tenant, policy.collection});
    }
  }
  rep_->thread = std::thread([rep = rep_.get()] { rep->Loop(); });
  return absl::OkStatus();
}

void Feedback::Shutdown() {
  rep_->stop = true;
  {
    absl::MutexLock lock(&rep_->mutex);
    rep_->stopping = true;
  }
  if (rep_->thread.joinable()) rep_->thread.join();
}

absl::Status Feedback::SetPolicy(const FeedbackPolicy& policy) {
  RETURN_IF_ERROR(rep_->rooms.meta->SetFeedbackPolicy(policy));
  absl::MutexLock lock(&rep_->mutex);
  const Key key{policy.tenant, policy.collection};
  if (policy.dataset.empty()) {
    rep_->logged.erase(key);
  } else {
    rep_->logged.insert(key);
  }
  return absl::OkStatus();
}

bool Feedback::Logs(std::string_view tenant, std::string_view collection) const {
  absl::ReaderMutexLock lock(&rep_->mutex);
  return !rep_->logged.empty() && rep_->logged.contains({std::string(tenant), std::string(collection)});
}

void Feedback::Record(LoggedSearch search) { rep_->rooms.log->Add(std::move(search)); }

absl::Status Feedback::Judge(std::string_view tenant, std::string_view search_id, std::string_view document,
                             bool relevant) {
  ASSIGN_OR_RETURN(const LoggedSearch search, rep_->rooms.log->Find(tenant, search_id));
  const auto hit = std::find_if(search.hits.begin(), search.hits.end(),
                                [&](const LoggedSearch::Hit& each) { return each.document == document; });
  if (hit == search.hits.end()) {
    return absl::NotFoundError(
        Concat("document \"", document, "\": is not among the hits of search ", search.search_id));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<DocumentStore> documents,
                   rep_->rooms.collections->Documents(tenant, search.collection));
  HitJudgement judgement{.document = std::string(document), .relevant = relevant};
  ASSIGN_OR_RETURN(judgement.text, TextOf(documents.get(), *hit));
  const auto examples = [&](const std::vector<HitJudgement>& others) {
    return ExamplesOf(search.query, judgement, others);
  };
  return rep_->rooms.meta->AddJudgement(tenant, search.collection, search_id, judgement, examples).status();
}

void Feedback::Forget(std::string_view tenant, std::string_view collection) {
  {
    absl::MutexLock lock(&rep_->mutex);
    rep_->logged.erase({std::string(tenant), std::string(collection)});
  }
  const absl::Status forgotten = rep_->rooms.log->Forget(tenant, collection);
  if (!forgotten.ok()) spdlog::warn("the log of searches: {}", forgotten.ToString());
}

}  // namespace tandem
