#include <google/protobuf/util/json_util.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/commands.h"
#include "client/cli/file_upload.h"
#include "client/cli/format.h"
#include "client/cli/line_input.h"
#include "client/cli/option_text.h"
#include "client/cli/records.h"
#include "client/cli/vector_file.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

constexpr char kFormats[] =
    "JSON lines (the default; also for stdin):\n"
    "  {\"id\": \"…\", \"text\": \"…\", \"payload\": {…}}   the payload may be left out and comes back in hits\n"
    "  BEIR's corpus.jsonl works too: \"_id\" is taken for \"id\", and \"title\" is put in front of \"text\"\n"
    "  \"vector\": [0.1, …] beside the text, or in place of it, where the documents bring their vectors\n"
    "Tab-separated (.tsv or .txt, or --format tsv): id, text, and perhaps the payload as JSON\n"
    "A document whose id is there already is replaced. Lines that are refused are reported by their number; the\n"
    "others are taken, and the exit code is 1.\n\n";

constexpr char kFilterHelp[] = "Only these: a Filter of proto/tandem/v1/filter.proto as JSON";

// An empty text is the filter that holds for every document.
absl::StatusOr<v1::Filter> ParseFilter(const std::string& json) {
  v1::Filter filter;
  if (json.empty()) return filter;
  if (absl::Status status = FromJson("--filter", json, &filter); !status.ok()) return status;
  return filter;
}

void AddImport(CLI::App& parent, Session& session) {
  struct Options {
    std::string collection, path, format, request_id;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = session.Add(
      parent, "import", "Adds or replaces documents from a file or, as \"-\", from stdin",
      "tandem document import docs documents.jsonl\nzcat documents.tsv.gz | tandem document import docs - --format tsv",
      [options](Client& client, Session& out) -> absl::Status {
        const RecordFormat format = options->format.empty()    ? FormatOf(options->path)
                                    : options->format == "tsv" ? RecordFormat::kTsv
                                                               : RecordFormat::kJsonl;
        const FileUpload upload{.path = options->path,
                                .unit = "documents",
                                .parent = CollectionName(options->collection),
                                .request_id = options->request_id};
        return UploadRecords<v1::Document>(
            out, upload, [format](absl::string_view line) { return ParseDocument(line, format); },
            [&](const ItemSource<v1::Document>& source, const UploadOptions& how, const UploadCallbacks& callbacks) {
              return client.collections.Import(options->collection, source, how, callbacks);
            });
      });
  command->footer(absl::StrCat(kFormats, command->get_footer()));
  command->add_option("COLLECTION", options->collection, "Collection that gets the documents")->required();
  command->add_option("FILE", options->path, "File with one document a line, or - for stdin")->required();
  command->add_option("--format", options->format, "jsonl or tsv; by the file's name when left out")
      ->check(CLI::IsMember({"jsonl", "tsv"}));
  command->add_option("--request-id", options->request_id,
                      "Makes repeating an interrupted import of the same file store nothing twice");
}

void AddUpsert(CLI::App& parent, Session& session) {
  struct Options {
    std::string collection, id, text, payload, vector_file;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = session.Add(
      parent, "upsert", "Adds or replaces one document",
      "tandem document upsert docs df 'Shows free disk space.' --payload '{\"section\": \"utils\"}'",
      [options](Client& client, Session& out) -> absl::Status {
        v1::Document document;
        document.set_id(options->id);
        document.set_text(options->text);
        if (!options->payload.empty() &&
            !google::protobuf::util::JsonStringToMessage(options->payload, document.mutable_payload()).ok()) {
          return BadInput("--payload", "must be a JSON object");
        }
        if (!options->vector_file.empty()) {
          absl::StatusOr<v1::Vector> vector = ReadVectorFile(options->vector_file);
          if (!vector.ok()) return vector.status();
          *document.mutable_vector() = *std::move(vector);
        }
        absl::StatusOr<int64_t> commit = client.collections.Upsert(options->collection, {document});
        if (!commit.ok()) return commit.status();
        v1::UpsertDocumentsResponse response;
        response.set_commit(*commit);
        out.Print(response, absl::StrCat(options->id, " is stored (commit ", *commit, ")"));
        return absl::OkStatus();
      });
  command->add_option("COLLECTION", options->collection, "Collection")->required();
  command->add_option("ID", options->id, "The document's id")->required();
  command->add_option("TEXT", options->text, "What is embedded and found; may be left out beside a vector");
  command->add_option("--payload", options->payload, "A JSON object that comes back in hits");
  command->add_option("--vector-file", options->vector_file,
                      "File with its vector (numbers or a JSON array), where the documents bring theirs");
}

struct PayloadOptions {
  std::string collection, id, payload, file;
  bool merge = false;
};

// One call a message of up to 10,000; ids that are not there are said, and make the exit code 1.
absl::Status UpdatePayloads(Client& client, Session& out, const PayloadOptions& options) {
  constexpr int kMost = 10000;
  v1::UpdatePayloadsRequest request;
  v1::UpdatePayloadsResponse total;
  int64_t asked = 0;
  const auto send = [&]() -> absl::Status {
    if (request.updates().empty()) return absl::OkStatus();
    request.set_collection(options.collection);
    request.set_mode(options.merge ? v1::UpdatePayloadsRequest::MERGE : v1::UpdatePayloadsRequest::REPLACE);
    asked += request.updates_size();
    absl::StatusOr<v1::UpdatePayloadsResponse> response = client.collections.UpdatePayloads(std::move(request));
    if (!response.ok()) return response.status();
    request.Clear();
    total.set_commit(response->commit());
    total.mutable_missing()->MergeFrom(response->missing());
    return absl::OkStatus();
  };
  if (options.file.empty()) {
    v1::UpdatePayloadsRequest::Update* update = request.add_updates();
    update->set_id(options.id);
    if (!google::protobuf::util::JsonStringToMessage(options.payload, update->mutable_payload()).ok()) {
      return BadInput("PAYLOAD", "must be a JSON object");
    }
  } else {
    absl::StatusOr<LineInput> input = LineInput::Open(options.file);
    if (!input.ok()) return input.status();
    for (std::string line; input->Next(&line);) {
      absl::StatusOr<v1::UpdatePayloadsRequest::Update> update = ParsePayloadUpdate(line);
      if (!update.ok()) {
        return BadInput(absl::StrCat(input->name(), ":", input->line_number()), update.status().message());
      }
      *request.add_updates() = *std::move(update);
      if (request.updates_size() < kMost) continue;
      if (absl::Status status = send(); !status.ok()) return status;
    }
  }
  if (absl::Status status = send(); !status.ok()) return status;
  const int64_t missing = total.missing_size();
  out.Print(total, absl::StrCat(FormatCount(asked - missing), " payloads are stored (commit ", total.commit(), ")"));
  if (missing == 0) return absl::OkStatus();
  return absl::NotFoundError(
      absl::StrCat(FormatCount(missing), " ids are no documents, the first is \"", total.missing(0), "\""));
}

void AddUpdatePayload(CLI::App& parent, Session& session) {
  auto options = std::make_shared<PayloadOptions>();
  CLI::App* command = session.Add(
      parent, "update-payload", "Changes payloads; texts and vectors stay, and nothing is embedded",
      "tandem document update-payload docs df '{\"section\": \"admin\", \"old\": null}' --merge\n"
      "tandem document update-payload docs --file payloads.jsonl",
      [options](Client& client, Session& out) -> absl::Status {
        if (options->file.empty() == options->id.empty() || options->id.empty() != options->payload.empty()) {
          return BadInput("update-payload", "give either ID and PAYLOAD, or --file");
        }
        return UpdatePayloads(client, out, *options);
      });
  command->add_option("COLLECTION", options->collection, "Collection")->required();
  command->add_option("ID", options->id, "The document's id");
  command->add_option("PAYLOAD", options->payload, "A JSON object");
  command->add_option("--file", options->file, "File with {\"id\": \"…\", \"payload\": {…}} a line, or - for stdin");
  command->add_flag("--merge", options->merge,
                    "Keys of the new payload replace those of the old one and a null removes its key; without it the "
                    "whole payload is replaced");
}

void AddGet(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  auto id = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "get", "Shows a document", "tandem document get docs df",
      [collection, id](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<v1::Document> document = client.collections.GetDocument(*collection, *id);
        if (!document.ok()) return document.status();
        out.Print(*document, RenderFields({{"id", document->id()},
                                           {"commit", FormatCount(document->commit())},
                                           {"payload", document->has_payload() ? ToJson(document->payload()) : ""},
                                           {"text", document->text()}}));
        return absl::OkStatus();
      });
  command->add_option("COLLECTION", *collection, "Collection")->required();
  command->add_option("ID", *id, "The document's id")->required();
}

void AddList(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  auto limit = std::make_shared<size_t>(50);
  auto filter = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "list", "Lists documents by id",
                                  "tandem --json document list docs --limit 0 > documents.jsonl",
                                  [collection, limit, filter](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Filter> chosen = ParseFilter(*filter);
                                    if (!chosen.ok()) return chosen.status();
                                    absl::StatusOr<std::vector<v1::Document>> documents =
                                        client.collections.ListDocuments(*collection, *limit, *chosen);
                                    if (!documents.ok()) return documents.status();
                                    Table table({{"ID"}, {"COMMIT", Table::kRight}, {"TEXT"}});
                                    for (const v1::Document& document : *documents) {
                                      if (out.json) out.PrintLine(ToJson(document));
                                      table.AddRow({document.id(), FormatCount(document.commit()), document.text()});
                                    }
                                    if (!out.json) out.PrintTable(table);
                                    return absl::OkStatus();
                                  });
  command->add_option("COLLECTION", *collection, "Collection")->required();
  command->add_option("--limit", *limit, "How many; 0 is all")->capture_default_str();
  command->add_option("--filter", *filter, kFilterHelp);
}

void AddCount(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  auto filter = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "count", "Counts the documents", "tandem document count docs",
      [collection, filter](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<v1::Filter> chosen = ParseFilter(*filter);
        if (!chosen.ok()) return chosen.status();
        absl::StatusOr<v1::CountDocumentsResponse> count = client.collections.CountDocuments(*collection, *chosen);
        if (!count.ok()) return count.status();
        out.Print(*count, absl::StrCat(FormatCount(count->count()), " documents (commit ", count->commit(), ")"));
        return absl::OkStatus();
      });
  command->add_option("COLLECTION", *collection, "Collection")->required();
  command->add_option("--filter", *filter, kFilterHelp);
}

void AddDelete(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  auto ids = std::make_shared<std::vector<std::string>>();
  auto filter = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "delete", "Deletes documents by id or by filter",
      "tandem document delete docs df du\n"
      "tandem document delete docs --filter '{\"must\": [{\"field\": {\"field\": \"old\", \"equals\": {\"boolean\": "
      "true}}}]}'",
      [collection, ids, filter](Client& client, Session& out) -> absl::Status {
        if (ids->empty() == filter->empty()) return BadInput("delete", "give either IDS or --filter");
        absl::StatusOr<v1::Filter> chosen = ParseFilter(*filter);
        if (!chosen.ok()) return chosen.status();
        absl::StatusOr<v1::DeleteDocumentsResponse> response =
            filter->empty() ? client.collections.DeleteDocuments(*collection, *ids)
                            : client.collections.DeleteMatching(*collection, *chosen);
        if (!response.ok()) return response.status();
        const std::string asked =
            filter->empty() ? absl::StrCat(" of ", FormatCount(static_cast<int64_t>(ids->size()))) : "";
        out.Print(*response, absl::StrCat(FormatCount(response->deleted()), asked,
                                          " documents were there and are deleted (commit ", response->commit(), ")"));
        return absl::OkStatus();
      });
  command->add_option("COLLECTION", *collection, "Collection")->required();
  command->add_option("IDS", *ids, "The documents' ids");
  command->add_option("--filter", *filter, kFilterHelp);
}

}  // namespace

void AddDocumentCommands(CLI::App& app, Session& session) {
  CLI::App* document =
      Session::AddNoun(app, "document", "The documents of a collection", "tandem document import docs documents.jsonl");
  AddImport(*document, session);
  AddUpsert(*document, session);
  AddGet(*document, session);
  AddList(*document, session);
  AddCount(*document, session);
  AddDelete(*document, session);
  AddUpdatePayload(*document, session);
}

}  // namespace tandem::cli
