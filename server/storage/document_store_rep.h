#pragma once
// What the document_store*.cc files share: one writing connection, a few reading ones, the head, and what memory keeps
// of the versions.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/storage/database.h"
#include "server/storage/document_store.h"
#include "server/storage/field_index.h"
#include "server/storage/word_tokenizer.h"

namespace tandem {

// What a write does to the set of versions, for what memory keeps of it.
struct VersionChanges {
  std::vector<LabelValues> added;  // Documents; not deletions.
  std::vector<int64_t> ended;      // Superseded by it.
};

struct Counters {
  int64_t head = 0, documents = 0;
  int64_t words_commit = 0;  // Versions up to here are in the keyword index, if there is one.
};
Counters ReadCounters(Database& db);
void WriteCounters(Database& db, const Counters& counters);

// The current version of an id.
struct Current {
  int64_t commit = 0;  // 0: there never was one.
  bool deleted = true;
  bool same_text = false;  // As the text that was asked with; false of a deletion.
};
Current FindCurrent(Database& db, const std::string& id, const std::string& text);

struct DocumentStore::Rep {
  // More readers at once wait for one of these; each is a file descriptor and a page cache of 2 MB at most.
  static constexpr int kMaxReaders = 4;

  Rep(std::filesystem::path file, std::unique_ptr<Database> connection, const DocumentStoreOptions& declared)
      : path(std::move(file)), writer(std::move(connection)), options(declared), field_index(declared.fields) {}

  // Database::Read on a connection that no writer and no other reader uses.
  template <typename Body>
  std::invoke_result_t<Body&, Database&> Read(Body body) {
    absl::StatusOr<std::unique_ptr<Database>> reader = Borrow();
    if (!reader.ok()) return reader.status();
    auto result = (*reader)->Read(std::move(body));
    Return(*std::move(reader));
    return result;
  }

  absl::StatusOr<std::unique_ptr<Database>> Borrow();
  void Return(std::unique_ptr<Database> reader);

  // One write of documents: `body(Database&, VersionChanges*)` in a transaction, then memory, then the head, so that
  // whoever sees a commit finds it everywhere.
  template <typename Body>
  absl::StatusOr<WriteResult> WriteVersions(Body body) {
    absl::MutexLock lock(&write_mutex);
    return WriteVersionsLocked(std::move(body));
  }
  template <typename Body>
  absl::StatusOr<WriteResult> WriteVersionsLocked(Body body) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex) {
    VersionChanges changes;
    auto written = writer->Write([&](Database& db) { return body(db, &changes); });
    if (written.ok()) Publish(changes, written->commit);
    return written;
  }
  void Publish(const VersionChanges& changes, int64_t commit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex);

  // Inside a Write. `values` as ReadFieldValues gives them.
  void AppendDocument(Database& db, int64_t commit, const Current& old, const DocumentInput& document,
                      std::vector<FieldValues> values, VersionChanges* changes);
  // Of those of the documents that are there.
  WriteResult AppendDeletions(Database& db, const std::vector<std::string>& ids, VersionChanges* changes);
  // What stands beside the row of a document's version, inside the Write that removes the row and before that; the
  // result is for field_index.Remove once it is committed. A deletion has nothing beside it.
  absl::StatusOr<LabelValues> EraseBeside(Database& db, int64_t commit);

  absl::Status LoadFields();
  absl::Status FillWords();
  // Those of a query's words that one search may score; see document_store_words.cc.
  std::vector<QueryWord> Affordable(Database& db, std::vector<QueryWord> words, int64_t head);

  // Labels of the current documents, and the commit at which they are it.
  struct CurrentLabels {
    Roaring64Map labels;
    int64_t commit = 0;
  };
  absl::StatusOr<CurrentLabels> GetCurrent() ABSL_LOCKS_EXCLUDED(write_mutex);
  absl::Status LoadCurrent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex);
  absl::StatusOr<Roaring64Map> MatchCurrent(const Filter& filter, const CurrentLabels& current);

  const std::filesystem::path path;
  const std::unique_ptr<Database> writer;
  const DocumentStoreOptions options;
  FieldIndex field_index;

  // Shared with the pins, which may outlive this.
  struct Pins {
    absl::Mutex mutex;
    std::multiset<int64_t> held ABSL_GUARDED_BY(mutex);
    int64_t floor ABSL_GUARDED_BY(mutex) = 0;  // Up to which versions may be gone.
  };
  const std::shared_ptr<Pins> pins = std::make_shared<Pins>();

  absl::Mutex write_mutex;  // Around a write of documents and what memory keeps of it.

  // Loaded by the first call that asks for it; kept up by writes from then on.
  absl::Mutex current_mutex ABSL_ACQUIRED_AFTER(write_mutex);
  std::optional<CurrentLabels> current ABSL_GUARDED_BY(current_mutex);

  // How many versions had a word when that was last counted, and the head then; of common words only.
  struct WordCount {
    int64_t versions = 0, head = 0;
  };
  absl::Mutex words_mutex;
  std::unordered_map<std::string, WordCount> common_words ABSL_GUARDED_BY(words_mutex);

  absl::Mutex readers_mutex;
  std::vector<std::unique_ptr<Database>> idle_readers ABSL_GUARDED_BY(readers_mutex);
  int open_readers ABSL_GUARDED_BY(readers_mutex) = 0;

  mutable absl::Mutex head_mutex;
  int64_t head ABSL_GUARDED_BY(head_mutex) = 0;
  // A Wake that finds nobody waiting is kept for the next wait, so that a follower cannot miss it between two waits.
  int64_t wakes ABSL_GUARDED_BY(head_mutex) = 0;
  int waiters ABSL_GUARDED_BY(head_mutex) = 0;
  bool pending_wake ABSL_GUARDED_BY(head_mutex) = false;
};

}  // namespace tandem
