// Documents by the fields of their payload, and what memory keeps for it.

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"

namespace tandem {

namespace {

constexpr size_t kLoadedAtOnce = 10'000;

Roaring64Map AllUpTo(int64_t commit) {
  Roaring64Map all;
  if (commit > 0) all.flip(1, static_cast<uint64_t>(commit) + 1);
  return all;
}

// The newest version of a document up to `commit`, given a newer one: the index is behind, or the document was written
// while it was looked for. 0 when there is none.
int64_t VersionAt(Database& db, int64_t version, int64_t commit) {
  while (version > commit) {
    Query row(db, "SELECT abs(previous) FROM versions WHERE commit_id = ?", version);
    version = row.Next() ? row.Int() : 0;
  }
  return version;
}

absl::StatusOr<Roaring64Map> VersionsOfIds(Database& db, const std::vector<std::string>& ids, int64_t commit) {
  std::vector<int64_t> newest;
  const std::string wanted = nlohmann::json(ids).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Query row(db,
            "SELECT v.commit_id FROM json_each(?) j CROSS JOIN versions v ON v.id = j.value AND v.superseded_by = 0",
            wanted);
  while (row.Next()) newest.push_back(row.Int());
  Roaring64Map found;
  for (const int64_t version : newest) {
    if (const int64_t at = VersionAt(db, version, commit); at > 0) found.add(static_cast<uint64_t>(at));
  }
  return found;
}

}  // namespace

absl::StatusOr<LabelValues> DocumentStore::Rep::EraseBeside(Database& db, int64_t commit) {
  LabelValues erased{.label = commit, .values = {}};
  {
    Query row(db, "SELECT bytes FROM field_values WHERE commit_id = ?", commit);
    if (row.Next()) {
      ASSIGN_OR_RETURN(erased.values, UnpackFieldValues(options.fields, row.Blob()));
    }
  }
  Query(db, "DELETE FROM field_values WHERE commit_id = ?", commit).Run();
  if (options.keyword_index) {
    // FTS5 has to be told what it is to forget.
    Query(db,
          "INSERT INTO words (words, rowid, text) SELECT 'delete', commit_id, text FROM versions WHERE commit_id = ?",
          commit)
        .Run();
  }
  return erased;
}

absl::Status DocumentStore::Rep::LoadFields() {
  if (options.fields.empty()) return absl::OkStatus();
  return writer->Read([&](Database& db) -> absl::Status {
    std::vector<LabelValues> loaded;
    Query row(db, "SELECT commit_id, bytes FROM field_values ORDER BY commit_id");
    while (row.Next()) {
      LabelValues& version = loaded.emplace_back();
      version.label = row.Int();
      ASSIGN_OR_RETURN(version.values, UnpackFieldValues(options.fields, row.Blob()));
      if (loaded.size() < kLoadedAtOnce) continue;
      field_index.Add(loaded);
      loaded.clear();
    }
    field_index.Add(loaded);
    return absl::OkStatus();
  });
}

// Reads two indexes and no row of a document.
absl::Status DocumentStore::Rep::LoadCurrent() {
  {
    absl::MutexLock lock(&current_mutex);
    if (current) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(CurrentLabels loaded, writer->Read([](Database& db) -> absl::StatusOr<CurrentLabels> {
    CurrentLabels labels;
    Query row(db, "SELECT commit_id FROM versions INDEXED BY current_versions WHERE superseded_by = 0");
    while (row.Next()) labels.labels.add(static_cast<uint64_t>(row.Int()));
    Query deleted(db, "SELECT commit_id FROM versions INDEXED BY deleted_versions WHERE deleted = 1");
    while (deleted.Next()) labels.labels.remove(static_cast<uint64_t>(deleted.Int()));
    labels.commit = ReadCounters(db).head;
    return labels;
  }));
  absl::MutexLock lock(&current_mutex);
  current = std::move(loaded);
  return absl::OkStatus();
}

absl::StatusOr<DocumentStore::Rep::CurrentLabels> DocumentStore::Rep::GetCurrent() {
  {
    absl::MutexLock lock(&current_mutex);
    if (current) return *current;
  }
  absl::MutexLock lock(&write_mutex);
  RETURN_IF_ERROR(LoadCurrent());
  absl::MutexLock current_lock(&current_mutex);
  return *current;
}

absl::StatusOr<Roaring64Map> DocumentStore::Rep::MatchCurrent(const Filter& filter, const CurrentLabels& labels) {
  ASSIGN_OR_RETURN(Roaring64Map found,
                   field_index.Match(filter, labels.labels, [&](const std::vector<std::string>& ids) {
                     return Read([&](Database& db) { return VersionsOfIds(db, ids, labels.commit); });
                   }));
  found &= labels.labels;
  return found;
}

absl::StatusOr<Roaring64Map> DocumentStore::Match(const Filter& filter, int64_t commit) {
  return rep_->field_index.Match(filter, AllUpTo(commit), [&](const std::vector<std::string>& ids) {
    return rep_->Read([&](Database& db) { return VersionsOfIds(db, ids, commit); });
  });
}

absl::StatusOr<DocumentStore::DocumentCount> DocumentStore::Count(const Filter& filter) {
  ASSIGN_OR_RETURN(const Rep::CurrentLabels current, rep_->GetCurrent());
  ASSIGN_OR_RETURN(const Roaring64Map found, rep_->MatchCurrent(filter, current));
  return DocumentCount{static_cast<int64_t>(found.cardinality()), current.commit};
}

// Walks the ids in order and reads only the documents of the page.
absl::StatusOr<std::vector<DocumentVersion>> DocumentStore::List(const Page& page, int64_t max_bytes,
                                                                 const Filter& filter) {
  const Pin pin = PinVersions();  // Of the versions that are found, until they are read.
  ASSIGN_OR_RETURN(const Rep::CurrentLabels current, rep_->GetCurrent());
  ASSIGN_OR_RETURN(const Roaring64Map found, rep_->MatchCurrent(filter, current));
  std::vector<int64_t> labels;
  if (!found.isEmpty()) {
    RETURN_IF_ERROR(rep_->Read([&](Database& db) -> absl::Status {
      Query row(db, "SELECT commit_id FROM versions WHERE id > ? AND superseded_by = 0 ORDER BY id", page.after);
      while (static_cast<int>(labels.size()) < page.size && row.Next()) {
        const int64_t version = VersionAt(db, row.Int(), current.commit);
        if (version > 0 && found.contains(static_cast<uint64_t>(version))) labels.push_back(version);
      }
      return absl::OkStatus();
    }));
  }
  std::vector<DocumentVersion> documents;
  int64_t bytes = 0;
  for (size_t i = 0; i < labels.size() && bytes <= max_bytes; ++i) {
    ASSIGN_OR_RETURN(std::vector<DocumentVersion> one, ReadVersions(std::span(labels).subspan(i, 1), true));
    bytes += static_cast<int64_t>(one[0].text.size());
    documents.push_back(std::move(one[0]));
  }
  return documents;
}

absl::StatusOr<DocumentStore::WriteResult> DocumentStore::Delete(const Filter& filter) {
  // Found and deleted under one lock, so that what goes is what the filter holds for at the commit before.
  absl::MutexLock lock(&rep_->write_mutex);
  RETURN_IF_ERROR(rep_->LoadCurrent());
  Rep::CurrentLabels current;
  {
    absl::MutexLock current_lock(&rep_->current_mutex);
    current = *rep_->current;
  }
  ASSIGN_OR_RETURN(const Roaring64Map found, rep_->MatchCurrent(filter, current));
  return rep_->WriteVersionsLocked([&](Database& db, VersionChanges* changes) -> absl::StatusOr<WriteResult> {
    std::vector<std::string> ids;
    for (const uint64_t label : found) {
      Query row(db, "SELECT id FROM versions WHERE commit_id = ?", static_cast<int64_t>(label));
      if (row.Next()) ids.push_back(row.Text());
    }
    return rep_->AppendDeletions(db, ids, changes);
  });
}

absl::StatusOr<std::vector<std::string>> DocumentStore::FirstValues(std::span<const int64_t> commits, int place) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<std::vector<std::string>> {
    std::vector<std::string> first;
    for (const int64_t commit : commits) {
      Query row(db, "SELECT bytes FROM field_values WHERE commit_id = ?", commit);
      std::string& value = first.emplace_back();
      if (!row.Next()) continue;
      ASSIGN_OR_RETURN(const std::vector<FieldValues> all, UnpackFieldValues(rep_->options.fields, row.Blob()));
      for (const FieldValues& values : all) {
        if (values.field != place) continue;
        value = values.keywords.empty() ? Concat("=", values.numbers[0]) : Concat("=", values.keywords[0]);
      }
    }
    return first;
  });
}

}  // namespace tandem
