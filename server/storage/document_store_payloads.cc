// Payloads that change while text and vector stay.

#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/document_store_rep.h"
#include "server/storage/stream_log.h"

namespace tandem {

namespace {

using nlohmann::json;

std::string Merge(const std::string& old, const std::string& update) {
  json merged = json::parse(old, nullptr, /*allow_exceptions=*/false);
  const json change = json::parse(update, nullptr, /*allow_exceptions=*/false);
  if (!merged.is_object()) merged = json::object();
  for (const auto& [key, value] : change.items()) {
    if (value.is_null()) {
      merged.erase(key);
    } else {
      merged[key] = value;
    }
  }
  return merged.dump(-1, ' ', false, json::error_handler_t::replace);
}

struct Old {
  Current version;
  std::string payload, text;
};

std::optional<Old> FindDocument(Database& db, const std::string& id) {
  Query row(db, "SELECT commit_id, payload, text FROM versions WHERE id = ? AND superseded_by = 0 AND deleted = 0", id);
  if (!row.Next()) return std::nullopt;
  Old old{.version = {.commit = row.Int(), .deleted = false, .same_text = true}};
  old.payload = row.Text();
  old.text = row.Text();
  return old;
}

}  // namespace

absl::StatusOr<DocumentStore::PayloadResult> DocumentStore::UpdatePayloads(const std::vector<PayloadUpdate>& updates,
                                                                           PayloadChange change, size_t max_bytes,
                                                                           const StreamMessage& message) {
  PayloadResult result;
  RETURN_IF_ERROR(
      rep_->WriteVersions([&](Database& db, VersionChanges* changes) -> absl::StatusOr<WriteResult> {
            ASSIGN_OR_RETURN(std::optional<StreamResult> stored, FindStreamResult(db, 0, message));
            if (stored) {
              const json missing = json::parse(stored->errors_json, nullptr, /*allow_exceptions=*/false);
              if (!missing.is_array()) return absl::DataLossError("the stored answer to a payload update is no list");
              result = {stored->commit, missing.get<std::vector<std::string>>()};
              return WriteResult{.commit = stored->commit, .repeated = true};
            }
            Counters counters = ReadCounters(db);
            PayloadResult written;
            for (size_t i = 0; i < updates.size(); ++i) {
              const std::optional<Old> old = FindDocument(db, updates[i].id);
              if (!old) {
                written.missing.push_back(updates[i].id);
                continue;
              }
              const std::string payload = change == PayloadChange::kMerge ? Merge(old->payload, updates[i].payload_json)
                                                                          : updates[i].payload_json;
              if (payload.size() > max_bytes) {
                return InvalidField(
                    Concat("updates[", i, "].payload"),
                    Concat("the result has ", payload.size(), " bytes as JSON: must have at most ", max_bytes));
              }
              auto values = ReadFieldValues(rep_->options.fields, payload);
              if (!values.ok()) return PrefixField(Concat("updates[", i, "]"), values.status());
              rep_->AppendDocument(db, ++counters.head, old->version,
                                   {.id = updates[i].id, .text = old->text, .payload_json = payload},
                                   *std::move(values), changes);
              Query(db, "INSERT INTO client_vectors SELECT ?, vector FROM client_vectors WHERE commit_id = ?",
                    counters.head, old->version.commit)
                  .Run();
            }
            if (rep_->options.keyword_index) counters.words_commit = counters.head;
            WriteCounters(db, counters);
            written.commit = counters.head;
            StoreStreamResult(db, 0, message,
                              {written.commit, static_cast<int>(updates.size() - written.missing.size()),
                               json(written.missing).dump(-1, ' ', false, json::error_handler_t::replace)});
            result = std::move(written);
            return WriteResult{.commit = result.commit};
          })
          .status());
  return result;
}

}  // namespace tandem
