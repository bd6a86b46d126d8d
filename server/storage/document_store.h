#pragma once
// documents.db of one collection: the commit log of its documents, and for each release the cursor and the vectors that
// are not in a sealed index yet. SQLite in WAL mode with synchronous=FULL; a method that returns OK after a change has
// committed it. Thread-safe: one writing connection behind a mutex, a few reading ones beside it, so reads never wait
// for a write. No read transaction outlives a call. Texts may hold NUL bytes.
//
// Each stored version of a document takes the next commit, from 1. An upsert of n documents takes n commits; its
//
// Beside each version stand its values in the collection's filterable fields (field_index.h has them in memory) and,
// with a keyword index, the words of its text (SQLite's FTS5, word_tokenizer.h), all in the version's own transaction.
// acknowledgement is the last of them. Versions that were superseded or deleted are kept until Prune: a release may
// still have to follow them, or a search to show them. The vectors that clients brought are kept as long as the
// version.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <roaring/roaring64map.hh>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/storage/field_values.h"
#include "server/storage/filter.h"
#include "server/storage/records.h"

namespace tandem {

// What a collection declares when it is made; the same at each Open.
struct DocumentStoreOptions {
  std::vector<FilterableField> fields;
  bool keyword_index = false;
};

class DocumentStore {
 public:
  // A file of an earlier version gets its keyword index here, 1,000 documents a transaction.
  static absl::StatusOr<std::unique_ptr<DocumentStore>> Open(const std::filesystem::path& path,
                                                             const DocumentStoreOptions& options = {});
  ~DocumentStore();

  const DocumentStoreOptions& options() const;
  // InvalidField "payload.…" when a value does not have the type of its filterable field.
  absl::Status CheckPayload(std::string_view payload_json) const;

  // All or nothing, in order; of two inputs with one id the later wins. Returns the last commit. InvalidField
  // "documents[3].payload.…" as CheckPayload. The rules for
  // `message` are those of MetaStore::AppendExamples; a unary call with a request_id passes sequence 1.
  struct WriteResult {
    int64_t commit = 0;
    int accepted = 0;
    std::string errors_json;
    bool repeated = false;
  };
  absl::StatusOr<WriteResult> Upsert(const std::vector<DocumentInput>& documents, const StreamMessage& message = {},
                                     std::string_view errors_json = "");
  // Returns the last commit and how many of the ids were there.
  absl::StatusOr<WriteResult> Delete(const std::vector<std::string>& ids);
  // The same of every current document that `filter` holds for, however many: one transaction.
  absl::StatusOr<WriteResult> Delete(const Filter& filter);
  // All or nothing: new versions with the same text and vector. An id that is no document is in `missing`; a repeated
  // message gives the same again. InvalidField "updates[i].payload" when what comes out has more than `max_bytes`.
  struct PayloadResult {
    int64_t commit = 0;
    std::vector<std::string> missing;
  };
  absl::StatusOr<PayloadResult> UpdatePayloads(const std::vector<PayloadUpdate>& updates, PayloadChange change,
                                               size_t max_bytes, const StreamMessage& message = {});

  // The newest commit, without touching the disk.
  int64_t head() const;
  // Blocks until head() > commit, or the time is over, or Wake is called. Returns head().
  int64_t WaitForCommitAfter(int64_t commit, absl::Duration timeout);
  void Wake();

  absl::StatusOr<int64_t> Count();                           // Current documents.
  absl::StatusOr<DocumentVersion> Get(std::string_view id);  // Current version; NOT_FOUND.
  // Current documents with id > page.after, by id; ends with the first that takes their texts over `max_bytes`.
  absl::StatusOr<std::vector<DocumentVersion>> List(const Page& page, int64_t max_bytes);

  // Filters: REQUIRES CheckFilter(options().fields, filter).
  // Labels of the versions up to `commit` that it holds for. Versions that were superseded before `commit` may be among
  // them: what is current at a commit, an index snapshot knows.
  absl::StatusOr<Roaring64Map> Match(const Filter& filter, int64_t commit);
  struct DocumentCount {
    int64_t count = 0, commit = 0;
  };
  absl::StatusOr<DocumentCount> Count(const Filter& filter);
  // As List, of the documents that it holds for at one commit; an entry may have been superseded since.
  absl::StatusOr<std::vector<DocumentVersion>> List(const Page& page, int64_t max_bytes, const Filter& filter);
  // What versions have in the field at `place` of the declaration, in the order of `commits`: the first value, in a
  // form that is equal exactly when the values are; empty when there is none.
  absl::StatusOr<std::vector<std::string>> FirstValues(std::span<const int64_t> commits, int place);

  // Keywords: the best `k` versions that `shown` is true of, by BM25 (word_score.h), best first, ties by
  // commit. A version counts when it has any of the query's words; only the first 256 different ones are asked for,
  // and, among more than 50,000 versions, of the words that most documents have only as many as keep the work
  // bounded: document_store_words.cc. DEADLINE_EXCEEDED. REQUIRES: options().keyword_index.
  struct KeywordHit {
    int64_t commit = 0;
    double score = 0;
  };
  struct KeywordHits {
    std::vector<KeywordHit> hits;
    double bound = 0;  // No document can have this score: it would be nothing but the query's words, endlessly.
  };
  absl::StatusOr<KeywordHits> SearchWords(std::string_view query, size_t k, const std::function<bool(int64_t)>& shown,
                                          absl::Time deadline);

  // Versions with these commits, in their order; a missing one is DATA_LOSS. One statement. `with_text` false leaves
  // text and payload empty.
  absl::StatusOr<std::vector<DocumentVersion>> ReadVersions(std::span<const int64_t> commits, bool with_text);

  // The commit log after `after`, in order, at most `limit` versions and about `max_bytes` of text (at least one
  // version). `skip_superseded_up_to`: leave out versions whose superseded_by is in (0, that commit] — a builder that
  // will not be read before it has passed that commit need not embed them. `with_text` false leaves text and payload
  // empty (and max_bytes without effect): what a follower needs to find the versions that were replaced.
  absl::StatusOr<std::vector<DocumentVersion>> ReadLog(int64_t after, int limit, int64_t max_bytes,
                                                       int64_t skip_superseded_up_to = 0, bool with_text = true);
  // The vectors that clients brought with these versions, row-major in their order; DATA_LOSS when one is missing or
  // has another length.
  absl::StatusOr<std::vector<float>> ReadClientVectors(std::span<const int64_t> commits, int dimensions);
  // How many versions after `after` ReadLog would give in all, deletions left out.
  absl::StatusOr<int64_t> CountLog(int64_t after, int64_t skip_superseded_up_to);

  // Followers. `release` is the release id.
  struct Cursor {
    int64_t commit = 0;         // Everything up to here is embedded and stored.
    int64_t sealed_commit = 0;  // Everything up to here is in the sealed index.
  };
  absl::StatusOr<Cursor> GetCursor(std::string_view release);  // {0, 0} for a new one.
  // One transaction: stores vectors (row-major, commits.size() x dimensions) and moves the cursor to `commit`.
  absl::Status Advance(std::string_view release, int64_t commit, std::span<const int64_t> commits,
                       std::span<const float> vectors, int dimensions);
  // Stored vectors with commit > after, at most `limit`, in order.
  struct Vectors {
    std::vector<int64_t> commits;
    std::vector<float> values;
  };
  absl::StatusOr<Vectors> ReadVectors(std::string_view release, int64_t after, int limit, int dimensions);
  // One transaction: sealed_commit becomes `commit` and vectors up to it are dropped.
  absl::Status MarkSealed(std::string_view release, int64_t commit);
  absl::Status DropFollower(std::string_view release);

  // Copies everything, as it is at one moment, into the new file `to`; see Database::CopyTo. Reads and writes go on.
  absl::Status CopyTo(const std::filesystem::path& to,
                      const std::function<absl::Status(int64_t done, int64_t all)>& proceed);

  // Releases that have a cursor or vectors here, by id; one that no release row names is what a crash left behind.
  absl::StatusOr<std::map<std::string, Cursor>> Followers();

  // Removes at most `limit` versions: those that were superseded by a commit up to `floor`, and deletions up to it.
  // Fewer have gone only when no more could. `floor` must not be above the sealed commit of any follower: what comes
  // after it names, in `previous`, what has to go from its index.
  absl::StatusOr<int> Prune(int64_t floor, int limit);
  // As long as it is held, versions that were current at commit *pin or later stay. Whoever reads the versions of a
  // snapshot's labels takes it before the snapshot, which must not be older than it.
  using Pin = std::shared_ptr<const int64_t>;
  Pin PinVersions();

 private:
  struct Rep;
  explicit DocumentStore(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
