#include "tests/support/release_world.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_map>
#include <utility>

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "tests/support/tiny_model.h"

namespace tandem::test {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

template <typename T>
T Value(absl::StatusOr<T> value) {
  EXPECT_TRUE(value.ok()) << value.status();
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}

std::filesystem::path RevisionPath(const std::filesystem::path& data, const std::string& revision) {
  return ModelRevisionDirectory(data, kTenant, "m", revision);
}

void MakeRevision(MetaStore& meta, const std::filesystem::path& data, const std::string& id, uint64_t seed,
                  bool blind) {
  const std::filesystem::path path = RevisionPath(data, id);
  WriteTinyModel(path, {.seed = seed, .hidden = 16, .blind = blind});
  const ModelDescription description = Value(DescribeModel(path));
  ModelRevisionRecord record;
  record.tenant = kTenant;
  record.model = "m";
  record.id = id;
  record.create_time = absl::Now();
  record.architecture = description.architecture;
  record.parameters = description.parameters;
  record.contract = description.contract;
  record.options_json = "{}";
  record.sha256 = description.sha256;
  ASSERT_TRUE(meta.AddModelRevision(record).ok());
}

}  // namespace

ReleaseWorld::ReleaseWorld(std::filesystem::path directory, ReleaseOptions options)
    : directory_(std::move(directory)), options_(std::move(options)) {
  options_.data_directory = directory_;
  Open();
}

void ReleaseWorld::Open() {
  ASSERT_TRUE(CreateDirectories(directory_).ok());
  meta_ = Value(MetaStore::Open(directory_ / "meta.db"));
  if (Value(meta_->AllModelRevisions()).empty()) {
    MakeRevision(*meta_, directory_, "a", 1, false);
    MakeRevision(*meta_, directory_, "b", 2, false);
    MakeRevision(*meta_, directory_, "blind", 3, true);
  }
  models_ = std::make_unique<ModelCache>(&budget_);
  EmbeddingQueueOptions queue_options;
  queue_options.threads = 1;
  queue_ = std::make_unique<EmbeddingQueue>(queue_options);
  collections_ = std::make_unique<Collections>(options_, meta_.get(), models_.get(), queue_.get(), &budget_);
  const absl::Status status = collections_->Start();
  ASSERT_TRUE(status.ok()) << status;
}

void ReleaseWorld::Close() {
  collections_.reset();
  queue_.reset();
  models_.reset();
  meta_.reset();
}

void ReleaseWorld::Restart() {
  Close();
  Open();
}

std::shared_ptr<DocumentStore> ReleaseWorld::documents() {
  return Value(collections_->Documents(kTenant, kCollection));
}

std::filesystem::path ReleaseWorld::ReleasePath(std::string_view release) const {
  return ReleaseDirectory(CollectionDirectory(directory_, kTenant, kCollection), release).path();
}

void ReleaseWorld::CreateCollection(absl::Duration rollback_window, std::vector<FilterableField> fields,
                                    const std::optional<ExternalVectors>& external) {
  CollectionRecord record;
  record.tenant = kTenant;
  record.id = kCollection;
  record.rollback_window = rollback_window;
  record.fields = std::move(fields);
  record.external = external;
  Value(collections_->Create(record, nullptr));
}

void ReleaseWorld::SetGate(const GatePolicy& gate) {
  CollectionRecord record = Value(meta_->GetCollection(kTenant, kCollection));
  record.gate = gate;
  Value(meta_->UpdateCollection(record, std::nullopt));
}

void ReleaseWorld::CreateEvaluationSet(const std::string& id, int queries) {
  EvaluationSetRecord set;
  set.tenant = kTenant;
  set.collection = kCollection;
  set.id = id;
  set.create_time = absl::Now();
  set.query_count = queries;
  std::vector<EvaluationQuery> list;
  for (int i = 0; i < queries; ++i) list.push_back({Concat("w", i), {{Concat("d", i), 1}}});
  const absl::Status status = meta_->CreateEvaluationSet(set, list, nullptr);
  ASSERT_TRUE(status.ok()) << status;
}

int64_t ReleaseWorld::Put(const std::vector<std::pair<std::string, std::string>>& documents) {
  std::vector<DocumentInput> inputs;
  for (const auto& [id, text] : documents) inputs.push_back({id, text, "{}"});
  return Value(this->documents()->Upsert(inputs)).commit;
}

int64_t ReleaseWorld::PutMany(int first, int count) {
  std::vector<std::pair<std::string, std::string>> documents;
  for (int i = first; i < first + count; ++i) documents.emplace_back(Concat("d", i), Concat("w", i));
  return Put(documents);
}

int64_t ReleaseWorld::Delete(const std::vector<std::string>& ids) { return Value(documents()->Delete(ids)).commit; }

absl::StatusOr<ReleaseRecord> ReleaseWorld::CreateRelease(const std::string& id, const std::string& revision,
                                                          IndexKind kind) {
  ReleaseRecord record;
  record.tenant = kTenant;
  record.collection = kCollection;
  record.id = id;
  record.model = revision.empty() ? "" : "m";
  record.revision = revision;
  record.index.kind = kind;
  return collections_->CreateRelease(record, nullptr);
}

ReleaseRecord ReleaseWorld::Row(const std::string& id) { return Value(meta_->GetRelease(kTenant, kCollection, id)); }

ReleaseRecord ReleaseWorld::WaitBuilt(const std::string& id) {
  const absl::Time deadline = absl::Now() + kPatience;
  int64_t version = 0;
  while (absl::Now() < deadline) {
    const ReleaseRecord row = Row(id);
    if (row.state != ReleaseState::kBuilding) return row;
    version = Value(collections_->WaitForChange(kTenant, kCollection, version, absl::Seconds(1)));
  }
  ADD_FAILURE() << id << " is still BUILDING";
  return Row(id);
}

ReleaseRecord ReleaseWorld::WaitState(const std::string& id, ReleaseState state) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::Now() < deadline && Row(id).state != state) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(Row(id).state, state) << id;
  return Row(id);
}

absl::StatusOr<PromotionResult> ReleaseWorld::Promote(const std::string& id, const std::string& override_reason,
                                                      std::optional<int64_t> etag, absl::Duration patience) {
  return collections_->Promote(kTenant, kCollection, id, etag, {.reason = override_reason, .by = "the tests"},
                               {.deadline = absl::Now() + patience}, nullptr);
}

void ReleaseWorld::GoLive(const std::string& id, const std::string& revision, IndexKind kind) {
  Value(CreateRelease(id, revision, kind));
  ASSERT_EQ(WaitBuilt(id).state, ReleaseState::kReady);
  Value(Promote(id, "the test says so"));
}

std::shared_ptr<const ActiveRelease> ReleaseWorld::LiveAtHead() {
  return Value(collections_->LiveAt(kTenant, kCollection, documents()->head(), {.deadline = absl::Now() + kPatience}));
}

Answer Ask(ReleaseWorld& world, const ActiveRelease& release, const std::string& query) {
  const EmbeddedTexts embedded =
      Value(world.queue().Embed(release.encoder, std::vector<std::string>{query}, InputRole::kQuery,
                                EmbeddingPriority::kInteractive, absl::InfiniteFuture()));
  const std::shared_ptr<const IndexSnapshot> snapshot = release.index->snapshot();
  VectorSearch search;
  search.k = kAnswerHits;
  Answer answer{.release = release.id,
                .revision = release.revision,
                .commit = snapshot->commit(),
                .query = query,
                .size = snapshot->size(),
                .hits = Value(snapshot->Search(embedded.vectors, search))};
  return answer;
}

const std::vector<DocumentVersion>& Oracle::LogUpTo(int64_t commit) {
  while (log_.empty() || log_.back().commit < commit) {
    std::vector<DocumentVersion> more =
        Value(world_->documents()->ReadLog(log_.empty() ? 0 : log_.back().commit, 10000, int64_t{1} << 30));
    if (more.empty()) break;
    std::move(more.begin(), more.end(), std::back_inserter(log_));
  }
  return log_;
}

void Oracle::EmbedAll(const std::string& revision, const std::vector<std::string>& texts, InputRole role) {
  std::vector<std::string> unknown;
  for (const std::string& text : texts) {
    if (!vectors_.contains({revision, role, text})) unknown.push_back(text);
  }
  if (unknown.empty()) return;
  const auto encoder = Value(world_->models().Get(RevisionPath(world_->directory(), revision)));
  const EmbeddedTexts embedded =
      Value(world_->queue().Embed(encoder, unknown, role, EmbeddingPriority::kInteractive, absl::InfiniteFuture()));
  const auto dimensions = static_cast<ptrdiff_t>(encoder->contract().dimensions);
  for (size_t i = 0; i < unknown.size(); ++i) {
    const auto begin = embedded.vectors.begin() + static_cast<ptrdiff_t>(i) * dimensions;
    vectors_[{revision, role, unknown[i]}] = std::vector<float>(begin, begin + dimensions);
  }
}

const std::vector<float>& Oracle::VectorOf(const std::string& revision, const std::string& text, InputRole role) {
  return vectors_.at({revision, role, text});
}

std::string Oracle::Check(const Answer& answer) {
  std::map<std::string, const DocumentVersion*> current;
  for (const DocumentVersion& version : LogUpTo(answer.commit)) {
    if (version.commit > answer.commit) break;
    if (version.deleted) {
      current.erase(version.id);
    } else {
      current[version.id] = &version;
    }
  }
  std::vector<std::string> texts;
  for (const auto& [id, version] : current) texts.push_back(version->text);
  EmbedAll(answer.revision, texts, InputRole::kDocument);
  EmbedAll(answer.revision, {answer.query}, InputRole::kQuery);
  const std::vector<float>& query = VectorOf(answer.revision, answer.query, InputRole::kQuery);

  const auto cosine = [](const std::vector<float>& a, const std::vector<float>& b) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      dot += double{a[i]} * b[i];
      aa += double{a[i]} * a[i];
      bb += double{b[i]} * b[i];
    }
    return dot / std::sqrt(aa * bb);
  };
  std::unordered_map<int64_t, double> scores;
  std::vector<double> sorted;
  for (const auto& [id, version] : current) {
    const double score = cosine(query, VectorOf(answer.revision, version->text, InputRole::kDocument));
    scores[version->commit] = score;
    sorted.push_back(score);
  }
  std::sort(sorted.rbegin(), sorted.rend());

  const std::string where = Concat("release ", answer.release, " (", answer.revision, ") at commit ", answer.commit,
                                   ", query ", answer.query, ": ");
  if (answer.size != static_cast<int64_t>(current.size())) {
    return Concat(where, answer.size, " vectors, ", current.size(), " documents");
  }
  if (answer.hits.size() != std::min<size_t>(kAnswerHits, current.size())) {
    return Concat(where, answer.hits.size(), " hits of ", current.size(), " documents");
  }
  std::set<int64_t> seen;
  for (size_t i = 0; i < answer.hits.size(); ++i) {
    const ScoredLabel& hit = answer.hits[i];
    const auto score = scores.find(hit.label);
    if (score == scores.end()) return Concat(where, "hit ", hit.label, " is not current");
    if (!seen.insert(hit.label).second) return Concat(where, "hit ", hit.label, " comes twice");
    if (std::abs(score->second - hit.score) > 1e-4) {
      return Concat(where, "hit ", hit.label, " has score ", hit.score, ", it is ", score->second);
    }
    if (std::abs(sorted[i] - hit.score) > 1e-4) {
      return Concat(where, "rank ", i, " has score ", hit.score, ", the exact one is ", sorted[i]);
    }
  }
  return "";
}

}  // namespace tandem::test
