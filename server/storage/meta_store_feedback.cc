// Feedback policies and judgements of hits.

#include <algorithm>

#include "absl/time/clock.h"
#include "server/storage/meta_store_rep.h"

namespace tandem {

namespace {

// A judgement is remembered for as long as the log of searches may have its search.
constexpr absl::Duration kJudgementsAreKept = absl::Hours(90 * 24);

constexpr char kSelectPolicy[] =
    "SELECT c.tenant, c.id, p.dataset, p.retrain_after, p.training, p.request, p.new_examples, p.round, p.state,"
    "  p.start_us, p.job, p.release, p.outcome FROM feedback_policies p JOIN collections c ON c.key = p.collection ";

FeedbackPolicy ReadPolicy(Query& row) {
  FeedbackPolicy policy;
  policy.tenant = row.Text();
  policy.collection = row.Text();
  policy.dataset = row.Text();
  const int64_t retrain_after = row.Int();
  if (retrain_after > 0) policy.retrain_after = retrain_after;
  policy.training_json = row.Text();
  policy.training_request = row.Text();
  policy.new_examples = row.Int();
  policy.last.number = row.Int();
  policy.last.state = static_cast<RoundState>(row.Int());
  policy.last.start_time = row.Time();
  policy.last.job = row.Text();
  policy.last.release = row.Text();
  policy.last.outcome = row.Text();
  return policy;
}

absl::StatusOr<std::vector<HitJudgement>> ReadJudgements(Database& db, int64_t key, std::string_view search_id) {
  std::vector<HitJudgement> judgements;
  Query row(db, "SELECT document, relevant, text FROM judgements WHERE collection = ? AND search_id = ?", key,
            search_id);
  while (row.Next()) {
    HitJudgement& judgement = judgements.emplace_back();
    judgement.document = row.Text();
    judgement.relevant = row.Bool();
    judgement.text = row.Text();
  }
  return judgements;
}

}  // namespace

absl::Status MetaStore::SetFeedbackPolicy(const FeedbackPolicy& policy) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, policy.tenant, policy.collection));
    if (!policy.dataset.empty()) RETURN_IF_ERROR(DatasetKey(db, policy.tenant, policy.dataset).status());
    Query(db,
          "INSERT INTO feedback_policies (collection, dataset, retrain_after, training, request)"
          " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (collection) DO UPDATE SET dataset = ?2, retrain_after = ?3,"
          " training = ?4, request = ?5",
          key, policy.dataset, policy.retrain_after.value_or(0), policy.training_json, AsBlob(policy.training_request))
        .Run();
    return absl::OkStatus();
  });
}

absl::StatusOr<FeedbackPolicy> MetaStore::GetFeedbackPolicy(std::string_view tenant, std::string_view collection) {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<FeedbackPolicy> {
    RETURN_IF_ERROR(CollectionKey(db, tenant, collection).status());
    Query row(db, Concat(kSelectPolicy, "WHERE c.tenant = ? AND c.id = ?"), tenant, collection);
    if (row.Next()) return ReadPolicy(row);
    FeedbackPolicy none;
    none.tenant = tenant;
    none.collection = collection;
    return none;
  });
}

absl::StatusOr<std::vector<FeedbackPolicy>> MetaStore::AllFeedbackPolicies() {
  return rep_->db->Read([&](Database& db) -> absl::StatusOr<std::vector<FeedbackPolicy>> {
    std::vector<FeedbackPolicy> policies;
    Query row(db, Concat(kSelectPolicy, "ORDER BY p.collection"));
    while (row.Next()) policies.push_back(ReadPolicy(row));
    return policies;
  });
}

absl::Status MetaStore::UpdateFeedbackRound(const FeedbackPolicy& policy, int64_t taken_examples) {
  return rep_->db->Write([&](Database& db) -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, policy.tenant, policy.collection));
    const FeedbackRound& round = policy.last;
    Query(db,
          "UPDATE feedback_policies SET new_examples = new_examples - ?, round = ?, state = ?, start_us = ?, job = ?,"
          " release = ?, outcome = ? WHERE collection = ?",
          taken_examples, round.number, round.state, round.start_time, round.job, round.release, round.outcome, key)
        .Run();
    return absl::OkStatus();
  });
}

absl::StatusOr<int> MetaStore::AddJudgement(
    std::string_view tenant, std::string_view collection, std::string_view search_id, const HitJudgement& judgement,
    const std::function<std::vector<Example>(const std::vector<HitJudgement>&)>& examples) {
  return rep_->db->Write([&](Database& db) -> absl::StatusOr<int> {
    ASSIGN_OR_RETURN(const int64_t key, CollectionKey(db, tenant, collection));
    ASSIGN_OR_RETURN(const std::vector<HitJudgement> others, ReadJudgements(db, key, search_id));
    const auto same = std::find_if(others.begin(), others.end(), [&](const HitJudgement& other) {
      return other.document == judgement.document && other.relevant == judgement.relevant;
    });
    if (same != others.end()) return 0;
    Query policy(db, "SELECT dataset FROM feedback_policies WHERE collection = ?", key);
    const std::string dataset = policy.Next() ? policy.Text() : "";
    if (dataset.empty()) {
      return absl::FailedPreconditionError(
          Concat(CollectionName(collection), ": has no feedback policy with a dataset: UpdateCollection sets one"));
    }
    ASSIGN_OR_RETURN(const int64_t dataset_key, DatasetKey(db, tenant, dataset));
    const std::vector<Example> added = examples(others);
    InsertExamples(db, dataset_key, added);
    const absl::Time now = absl::Now();
    Query(db, "INSERT OR REPLACE INTO judgements VALUES (?, ?, ?, ?, ?, ?)", key, search_id, judgement.document,
          judgement.relevant, judgement.text, now)
        .Run();
    Query(db, "DELETE FROM judgements WHERE time_us < ?", now - kJudgementsAreKept).Run();
    Query(db, "UPDATE feedback_policies SET new_examples = new_examples + ? WHERE collection = ?",
          static_cast<int64_t>(added.size()), key)
        .Run();
    return static_cast<int>(added.size());
  });
}

}  // namespace tandem
