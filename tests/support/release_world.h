#pragma once
// The release room on real stores and real (tiny) encoders in a temporary directory, as tandemd wires it; and an oracle
// that says what a release must answer at a commit, worked out from the commit log and nothing else.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/encoder/embedding_queue.h"
#include "server/encoder/model_cache.h"
#include "server/release/collections.h"
#include "server/storage/meta_store.h"

namespace tandem::test {

inline constexpr char kTenant[] = "default";
inline constexpr char kCollection[] = "faq";

class ReleaseWorld {
 public:
  // Opens what `directory` has. Revisions "models/m/revisions/a" and "b" (good, different), "blind" (finds nothing).
  ReleaseWorld(std::filesystem::path directory, ReleaseOptions options);

  Collections& collections() { return *collections_; }
  MetaStore& meta() { return *meta_; }
  EmbeddingQueue& queue() { return *queue_; }
  ModelCache& models() { return *models_; }
  MemoryBudget& budget() { return budget_; }
  const std::filesystem::path& directory() const { return directory_; }
  std::shared_ptr<DocumentStore> documents();
  std::filesystem::path ReleasePath(std::string_view release) const;

  // Closes everything and opens it again.
  void Restart();
  void Close();
  void Open();

  void CreateCollection(absl::Duration rollback_window = absl::Hours(1), std::vector<FilterableField> fields = {},
                        const std::optional<ExternalVectors>& external = std::nullopt);
  void SetGate(const GatePolicy& gate);
  // Queries "w<i>" with document "d<i>" as their answer.
  void CreateEvaluationSet(const std::string& id, int queries);
  int64_t Put(const std::vector<std::pair<std::string, std::string>>& documents);  // Id and text.
  int64_t PutMany(int first, int count);                                           // "d<i>" with text "w<i>".
  int64_t Delete(const std::vector<std::string>& ids);

  absl::StatusOr<ReleaseRecord> CreateRelease(const std::string& id, const std::string& revision,
                                              IndexKind kind = IndexKind::kFlat);
  // Waits until it has left BUILDING; its row.
  ReleaseRecord WaitBuilt(const std::string& id);
  ReleaseRecord WaitState(const std::string& id, ReleaseState state);
  ReleaseRecord Row(const std::string& id);
  absl::StatusOr<PromotionResult> Promote(const std::string& id, const std::string& override_reason = "",
                                          std::optional<int64_t> etag = std::nullopt,
                                          absl::Duration patience = absl::Seconds(30));
  // Makes a release of `revision` live, whatever the gate says.
  void GoLive(const std::string& id, const std::string& revision, IndexKind kind = IndexKind::kFlat);
  std::shared_ptr<const ActiveRelease> LiveAtHead();

 private:
  const std::filesystem::path directory_;
  ReleaseOptions options_;
  std::unique_ptr<MetaStore> meta_;
  MemoryBudget budget_{int64_t{1} << 30};
  std::unique_ptr<ModelCache> models_;
  std::unique_ptr<EmbeddingQueue> queue_;
  std::unique_ptr<Collections> collections_;
};

// One answer, as a client would have got it.
struct Answer {
  std::string release, revision;
  int64_t commit = 0;
  std::string query;
  int64_t size = 0;  // Of the index.
  std::vector<ScoredLabel> hits;
};

constexpr int kAnswerHits = 10;

Answer Ask(ReleaseWorld& world, const ActiveRelease& release, const std::string& query);

// Checks answers against the commit log. Keeps the vectors of texts that it has embedded.
class Oracle {
 public:
  explicit Oracle(ReleaseWorld* world) : world_(world) {}
  // Empty when the answer is exact for its (revision, commit); else what is wrong with it.
  std::string Check(const Answer& answer);

 private:
  const std::vector<DocumentVersion>& LogUpTo(int64_t commit);
  void EmbedAll(const std::string& revision, const std::vector<std::string>& texts, InputRole role);
  const std::vector<float>& VectorOf(const std::string& revision, const std::string& text, InputRole role);

  ReleaseWorld* const world_;
  std::vector<DocumentVersion> log_;
  std::map<std::tuple<std::string, InputRole, std::string>, std::vector<float>> vectors_;
};

}  // namespace tandem::test
