#include "tests/e2e/ledger_check.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tandem::test {
namespace {

class Check {
 public:
  Check(const Client& client, const Ledger& ledger, const LedgerCheckOptions& options)
      : client_(client), facts_(ledger.facts()), options_(options) {}

  std::vector<std::string> Run() {
    for (const auto& [name, history] : facts_.resources) CheckResource(name, history);
    for (const auto& [name, examples] : facts_.examples) CheckExamples(name, examples);
    CheckCollection();
    CheckDocuments();
    for (const auto& [request_id, job] : facts_.jobs) CheckJob(request_id, job);
    return std::move(findings_);
  }

 private:
  bool Holds(int64_t acknowledged) const { return acknowledged <= options_.position; }
  bool IsSynced(const JobEventFact& event) const {
    if (event.kind == "step" || event.kind == "message") return false;
    const auto sync = std::ranges::upper_bound(options_.event_syncs, event.acknowledged);
    return sync != options_.event_syncs.end() && *sync <= options_.position;
  }

  template <class... Parts>
  void Find(const Parts&... parts) {
    findings_.push_back(absl::StrCat(parts...));
  }

  // Whether it must be there, must not be there, or either.
  enum class Must { kBeThere, kBeGone, kEither };
  Must Of(const std::string& name) const {
    const auto found = facts_.resources.find(name);
    if (found == facts_.resources.end()) return Must::kEither;
    const std::vector<Existence>& history = found->second;
    const auto last = std::find_if(history.rbegin(), history.rend(),
                                   [this](const Existence& fact) { return fact.attempted <= options_.position; });
    if (last == history.rend() || !Holds(last->acknowledged)) return Must::kEither;
    return last->there ? Must::kBeThere : Must::kBeGone;
  }

  void CheckResource(const std::string& name, const std::vector<Existence>&) {
    const Must must = Of(name);
    std::string sha256;
    const absl::Status got = Get(name, &sha256);
    if (!got.ok() && !absl::IsNotFound(got)) return Find(name, ": ", std::string(got.message()));
    if (must == Must::kBeThere && !got.ok()) return Find(name, " is gone");
    if (must == Must::kBeGone && got.ok()) return Find(name, " was deleted and is there");
    const auto weights = facts_.revision_sha256.find(name);
    if (must == Must::kBeThere && weights != facts_.revision_sha256.end() && weights->second != sha256) {
      Find(name, " has weights ", sha256, ", had ", weights->second);
    }
  }

  absl::Status Get(const std::string& name, std::string* sha256) {
    if (absl::StrContains(name, "/revisions/")) {
      const absl::StatusOr<v1::ModelRevision> revision = client_.models.GetRevision(name);
      if (revision.ok()) *sha256 = revision->sha256();
      return revision.status();
    }
    if (absl::StrContains(name, "/releases/")) return CheckedRelease(name);
    if (absl::StrContains(name, "/evaluationSets/")) return client_.collections.GetEvaluationSet(name).status();
    if (absl::StartsWith(name, "datasets/")) return client_.datasets.Get(name).status();
    if (absl::StartsWith(name, "jobs/")) return client_.jobs.Get(name).status();
    return client_.collections.Get(name).status();
  }

  absl::Status CheckedRelease(const std::string& name) {
    const absl::StatusOr<v1::Release> release = client_.releases.Get(name);
    if (!release.ok()) return release.status();
    const auto revision = facts_.release_revision.find(name);
    if (revision != facts_.release_revision.end() && release->model_revision() != revision->second) {
      Find(name, " is of ", release->model_revision(), ", was made of ", revision->second);
    }
    if (release->state() == v1::Release::FAILED) Find(name, " is FAILED: ", release->error().message());
    return absl::OkStatus();
  }

  void CheckExamples(const std::string& dataset, const std::vector<ExampleFact>& examples) {
    if (Of(dataset) != Must::kBeThere) return;
    const auto stored = client_.datasets.Examples(dataset, 0);
    if (!stored.ok()) return Find(dataset, ": ", std::string(stored.status().message()));
    for (size_t i = 0; i < examples.size() && Holds(examples[i].acknowledged); ++i) {
      if (i >= stored->size()) return Find(dataset, " has ", stored->size(), " examples, more were acknowledged");
      const auto& item = (*stored)[i];
      if (item.commit() != static_cast<int64_t>(i) + 1 ||
          item.example().SerializeAsString() != examples[i].serialised) {
        return Find(dataset, ": example ", i + 1, " is another, of commit ", item.commit());
      }
    }
  }

  void CheckCollection() {
    if (facts_.resources.empty() || Of("collections/docs") != Must::kBeThere) return;
    const absl::StatusOr<v1::Collection> collection = client_.collections.Get("collections/docs");
    if (!collection.ok()) return Find("collections/docs: ", std::string(collection.status().message()));
    int64_t head = 0;
    for (const auto& [acknowledged, commit] : facts_.commits) head = Holds(acknowledged) ? commit : head;
    if (collection->commit() < head)
      Find("the newest commit is ", collection->commit(), ", ", head, " was acknowledged");
    CheckLive(collection->live_release());
  }

  // The last one that was acknowledged, or one that was attempted after it.
  void CheckLive(const std::string& live) {
    const std::vector<PromotionFact>& promotions = facts_.promotions;
    size_t first = promotions.size();
    for (size_t i = 0; i < promotions.size(); ++i) first = Holds(promotions[i].acknowledged) ? i : first;
    if (first == promotions.size()) {
      if (live.empty()) return;
      first = 0;
    }
    for (size_t i = first; i < promotions.size(); ++i) {
      if (live == absl::StrCat("collections/docs/releases/", promotions[i].release)) return;
    }
    Find("live is \"", live, "\", ", first < promotions.size() ? promotions[first].release : "none",
         " was acknowledged");
  }

  void CheckDocuments() {
    if (facts_.documents.empty() || Of("collections/docs") != Must::kBeThere) return;
    const auto listed = client_.collections.ListDocuments("collections/docs", 0);
    if (!listed.ok()) return Find("documents: ", std::string(listed.status().message()));
    std::map<std::string, const v1::Document*> documents;
    for (const v1::Document& document : *listed) {
      documents[document.id()] = &document;
      if (!facts_.documents.contains(document.id())) Find("nobody wrote document ", document.id());
    }
    for (const auto& [id, writes] : facts_.documents) {
      const auto document = documents.find(id);
      CheckDocument(id, writes, document == documents.end() ? nullptr : document->second);
    }
    CheckCount(static_cast<int64_t>(listed->size()));
  }

  void CheckCount(int64_t listed) {
    const auto count = client_.collections.CountDocuments("collections/docs");
    if (!count.ok()) return Find("count of documents: ", std::string(count.status().message()));
    if (count->count() != listed) Find("the count of documents is ", count->count(), ", listed are ", listed);
  }

  // Its text must be that of the last acknowledged write or of a later one.
  void CheckDocument(const std::string& id, const std::vector<DocumentWrite>& writes, const v1::Document* document) {
    size_t first = writes.size();
    for (size_t i = 0; i < writes.size(); ++i) first = Holds(writes[i].acknowledged) ? i : first;
    if (first == writes.size()) {
      if (document == nullptr) return;
      first = 0;
    }
    const std::string text = document == nullptr ? "" : document->text();
    const auto write = std::find_if(writes.begin() + static_cast<ptrdiff_t>(first), writes.end(),
                                    [&](const DocumentWrite& candidate) { return candidate.text == text; });
    if (write == writes.end()) {
      return Find("document ", id, document == nullptr ? " is gone" : absl::StrCat(" is \"", text, "\""),
                  ", acknowledged was \"", writes[first].text, "\" with commit ", writes[first].commit);
    }
    if (document != nullptr && write->commit > 0 && document->commit() != write->commit) {
      Find("document ", id, " has commit ", document->commit(), ", acknowledged was ", write->commit);
    }
  }

  void CheckJob(const std::string& request_id, const JobFact& job) {
    if (!Holds(job.acknowledged) || Of(job.name) != Must::kBeThere) return;
    const absl::StatusOr<v1::Job> stored = client_.jobs.Get(job.name);
    if (!stored.ok()) return Find(job.name, ": ", std::string(stored.status().message()));
    if (stored->state() == v1::Job::FAILED || stored->state() == v1::Job::CANCELLED) {
      Find(job.name, " is ", v1::Job::State_Name(stored->state()), ": ", stored->error().message());
    }
    int64_t last = 0;  // Sequence of the last event that must be there.
    for (const auto& [sequence, event] : job.events) {
      if (Holds(event.acknowledged) && (!options_.power_cut || IsSynced(event))) last = sequence;
    }
    if (stored->last_sequence() < last) {
      Find(job.name, " of request ", request_id, " has ", stored->last_sequence(), " events, ", last, " were seen");
    }
    if (!Holds(job.result_acknowledged)) return;
    if (stored->state() != v1::Job::SUCCEEDED || stored->model_revision() != job.revision) {
      Find(job.name, " is ", v1::Job::State_Name(stored->state()), " with \"", stored->model_revision(), "\", it made ",
           job.revision);
    }
  }

  const Client& client_;
  const LedgerFacts facts_;
  const LedgerCheckOptions options_;
  std::vector<std::string> findings_;
};

}  // namespace

std::vector<std::string> CheckLedger(const Client& client, const Ledger& ledger, const LedgerCheckOptions& options) {
  return Check(client, ledger, options).Run();
}

std::vector<std::string> CheckCommitLog(const std::vector<LoggedVersion>& log, const Ledger& ledger) {
  std::vector<std::string> findings;
  std::map<int64_t, const LoggedVersion*> by_commit;
  std::map<std::pair<std::string, std::string>, int> stored;  // Upserts, by id and text.
  for (const LoggedVersion& version : log) {
    by_commit[version.commit] = &version;
    if (!version.text.empty()) ++stored[{version.id, version.text}];
  }
  std::map<std::pair<std::string, std::string>, int> called;
  for (const auto& [id, writes] : ledger.facts().documents) {
    for (const DocumentWrite& write : writes) {
      if (write.text.empty()) continue;
      ++called[{id, write.text}];
      if (write.acknowledged == kNeverAcknowledged) continue;
      const auto version = by_commit.find(write.commit);
      if (version == by_commit.end() || version->second->id != id || version->second->text != write.text) {
        findings.push_back(absl::StrCat("commit ", write.commit, " is not ", id, " \"", write.text, "\""));
      }
    }
  }
  for (const auto& [write, times] : stored) {
    if (times <= called[write]) continue;
    findings.push_back(absl::StrCat(write.first, " \"", write.second, "\" was stored ", times, " times"));
  }
  return findings;
}

}  // namespace tandem::test
