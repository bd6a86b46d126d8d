// Reading documents: the current ones, and the commit log.

#include <cstdlib>
#include <cstring>

#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"

namespace tandem {

namespace {

// Without text, its pages are not read.
constexpr char kSelectVersion[] =
    "SELECT v.commit_id, v.id, v.deleted, v.previous, v.superseded_by, v.payload, v.text FROM ";
constexpr char kSelectVersionOnly[] = "SELECT v.commit_id, v.id, v.deleted, v.previous, v.superseded_by FROM ";

DocumentVersion ReadVersion(Query& row, bool with_text) {
  DocumentVersion version;
  version.commit = row.Int();
  version.id = row.Text();
  version.deleted = row.Bool();
  const int64_t previous = row.Int();  // Below 0: the text is the same.
  version.previous = std::abs(previous);
  version.same_text = previous < 0;
  version.superseded_by = row.Int();
  if (with_text) {
    version.payload_json = row.Text();
    version.text = row.Text();
  }
  return version;
}

// A version that a follower has to see, given that it will not answer before `?2`.
constexpr char kInLog[] = "commit_id > ?1 AND NOT (superseded_by > 0 AND superseded_by <= ?2)";

}  // namespace

absl::StatusOr<DocumentVersion> DocumentStore::Get(std::string_view id) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<DocumentVersion> {
    Query row(db, Concat(kSelectVersion, "versions v WHERE v.id = ? AND v.superseded_by = 0 AND v.deleted = 0"), id);
    if (!row.Next()) return absl::NotFoundError(Concat("document \"", id, "\": not found"));
    return ReadVersion(row, true);
  });
}

absl::StatusOr<std::vector<DocumentVersion>> DocumentStore::List(const Page& page, int64_t max_bytes) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<std::vector<DocumentVersion>> {
    std::vector<DocumentVersion> documents;
    Query row(db,
              Concat(kSelectVersion,
                     "versions v WHERE v.id > ? AND v.superseded_by = 0 AND v.deleted = 0 ORDER BY v.id LIMIT ?"),
              page.after, page.size);
    for (int64_t bytes = 0; bytes <= max_bytes && row.Next();
         bytes += static_cast<int64_t>(documents.back().text.size())) {
      documents.push_back(ReadVersion(row, true));
    }
    return documents;
  });
}

absl::StatusOr<std::vector<DocumentVersion>> DocumentStore::ReadVersions(std::span<const int64_t> commits,
                                                                         bool with_text) {
  const std::string wanted = nlohmann::json(commits).dump();
  return rep_->Read([&](Database& db) -> absl::StatusOr<std::vector<DocumentVersion>> {
    std::vector<DocumentVersion> versions;
    versions.reserve(commits.size());
    // CROSS JOIN keeps the list outside and the lookups inside.
    Query row(db,
              Concat(with_text ? kSelectVersion : kSelectVersionOnly,
                     "json_each(?) j CROSS JOIN versions v ON v.commit_id = j.value ORDER BY j.key"),
              wanted);
    while (row.Next()) versions.push_back(ReadVersion(row, with_text));
    for (size_t i = 0; i < commits.size(); ++i) {
      if (i >= versions.size() || versions[i].commit != commits[i]) {
        return absl::DataLossError(Concat(rep_->path.string(), ": no document version of commit ", commits[i]));
      }
    }
    return versions;
  });
}

absl::StatusOr<std::vector<DocumentVersion>> DocumentStore::ReadLog(int64_t after, int limit, int64_t max_bytes,
                                                                    int64_t skip_superseded_up_to, bool with_text) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<std::vector<DocumentVersion>> {
    std::vector<DocumentVersion> versions;
    Query row(db,
              Concat(with_text ? kSelectVersion : kSelectVersionOnly, "versions v WHERE ", kInLog,
                     " ORDER BY commit_id LIMIT ?3"),
              after, skip_superseded_up_to, limit);
    int64_t bytes = 0;
    while (bytes < max_bytes || versions.empty()) {
      if (!row.Next()) break;
      versions.push_back(ReadVersion(row, with_text));
      bytes += static_cast<int64_t>(versions.back().text.size());
    }
    return versions;
  });
}

absl::StatusOr<std::vector<float>> DocumentStore::ReadClientVectors(std::span<const int64_t> commits, int dimensions) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<std::vector<float>> {
    std::vector<float> values(commits.size() * static_cast<size_t>(dimensions));
    const size_t bytes = static_cast<size_t>(dimensions) * sizeof(float);
    for (size_t i = 0; i < commits.size(); ++i) {
      Query row(db, "SELECT vector FROM client_vectors WHERE commit_id = ?", commits[i]);
      const std::string_view blob = row.Next() ? row.Blob() : std::string_view();
      if (blob.size() != bytes) {
        return absl::DataLossError(Concat(rep_->path.string(), ": the vector of commit ", commits[i], " has ",
                                          blob.size(), " bytes, must have ", bytes));
      }
      std::memcpy(values.data() + i * static_cast<size_t>(dimensions), blob.data(), bytes);
    }
    return values;
  });
}

absl::StatusOr<int64_t> DocumentStore::CountLog(int64_t after, int64_t skip_superseded_up_to) {
  return rep_->Read([&](Database& db) -> absl::StatusOr<int64_t> {
    Query row(db, Concat("SELECT count(*) FROM versions WHERE deleted = 0 AND ", kInLog), after, skip_superseded_up_to);
    return row.Next() ? row.Int() : 0;
  });
}

}  // namespace tandem
