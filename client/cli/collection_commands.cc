#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

// As --field takes them: "section:keyword, price:float".
std::string DescribeFields(const v1::Collection& collection) {
  std::string fields;
  for (const v1::FilterableField& field : collection.fields()) {
    absl::StrAppend(&fields, fields.empty() ? "" : ", ", field.name(), ":",
                    absl::AsciiStrToLower(v1::FilterableField::Type_Name(field.type())));
  }
  return fields;
}

absl::Status AddField(const std::string& text, v1::CreateCollectionRequest* request) {
  const size_t colon = text.rfind(':');
  v1::FilterableField::Type type = v1::FilterableField::TYPE_UNSPECIFIED;
  if (colon == text.npos || !v1::FilterableField::Type_Parse(absl::AsciiStrToUpper(text.substr(colon + 1)), &type)) {
    return BadInput("--field", absl::StrCat("'", text,
                                            "' must be NAME:TYPE, with the type keyword, integer, float, bool or "
                                            "datetime"));
  }
  v1::FilterableField* field = request->add_fields();
  field->set_name(text.substr(0, colon));
  field->set_type(type);
  return absl::OkStatus();
}

std::string DescribeVectors(const v1::ExternalVectors& external) {
  return absl::StrCat("of clients, ", external.dimensions(), " dimensions, ",
                      EnumName(v1::Metric_Name(external.metric())));
}

std::string Describe(const v1::Collection& collection) {
  const v1::GatePolicy& gate = collection.gate();
  return RenderFields({
      {"collection", ShortName(collection.name())},
      {"display name", collection.display_name()},
      {"made", FormatTime(collection.create_time())},
      {"vectors", collection.has_external() ? DescribeVectors(collection.external()) : ""},
      {"documents", FormatCount(collection.document_count())},
      {"commit", FormatCount(collection.commit())},
      {"live release", collection.live_release().empty() ? "none" : ShortName(collection.live_release())},
      {"previous release", ShortName(collection.previous_release())},
      {"rollback window", FormatWindow(collection.rollback_window())},
      {"gate", gate.evaluation_set().empty() ? "no evaluation set" : ShortName(gate.evaluation_set())},
      {"gate margin", gate.has_margin() ? absl::StrCat(gate.margin()) : ""},
      {"gate index recall", gate.has_min_index_recall() ? absl::StrCat("at least ", gate.min_index_recall()) : ""},
      {"gate nDCG@10", gate.has_min_ndcg() ? absl::StrCat("at least ", gate.min_ndcg()) : ""},
      {"filterable fields", DescribeFields(collection)},
      {"keyword index", collection.keyword_index() ? "yes" : "no"},
      {"etag", collection.etag()},
  });
}

// What create and update have in common; only what was given changes anything.
struct Settings {
  std::optional<std::string> display_name, evaluation_set, rollback_window;
  std::optional<double> margin, min_index_recall, min_ndcg;

  bool touches_gate() const { return evaluation_set || margin || min_index_recall || min_ndcg; }

  absl::Status FillGate(v1::GatePolicy* gate) const {
    if (evaluation_set) {
      absl::StatusOr<std::string> name = EvaluationSetName(*evaluation_set);
      if (!name.ok()) return name.status();
      gate->set_evaluation_set(*name);
    }
    if (margin) gate->set_margin(*margin);
    if (min_index_recall) gate->set_min_index_recall(*min_index_recall);
    if (min_ndcg) gate->set_min_ndcg(*min_ndcg);
    return absl::OkStatus();
  }

  absl::StatusOr<google::protobuf::Duration> Window() const {
    absl::Duration window;
    if (!absl::ParseDuration(*rollback_window, &window)) {
      return BadInput("--rollback-window", absl::StrCat("'", *rollback_window, "' is no duration such as 24h or 90m"));
    }
    return ToProto(window);
  }
};

void AddSettings(CLI::App* command, const std::shared_ptr<Settings>& settings) {
  command->add_option("--display-name", settings->display_name, "A name for people");
  command->add_option("--rollback-window", settings->rollback_window,
                      "How long the previous release follows the writes, for example 24h");
  command->add_option("--margin", settings->margin,
                      "Gate: the lower bound of the difference of nDCG@10 must be above minus this");
  command->add_option("--min-index-recall", settings->min_index_recall,
                      "Gate: recall@10 of the index against exact search");
  command->add_option("--min-ndcg", settings->min_ndcg, "Gate: nDCG@10");
}

void AddCreate(CLI::App& parent, Session& session) {
  auto id = std::make_shared<std::string>();
  auto settings = std::make_shared<Settings>();
  auto fields = std::make_shared<std::vector<std::string>>();
  auto no_keywords = std::make_shared<bool>(false);
  auto external = std::make_shared<v1::ExternalVectors>();
  CLI::App* command =
      session.Add(parent, "create", "Makes an empty collection",
                  "tandem collection create docs --rollback-window 72h\n"
                  "tandem collection create shop --field section:keyword --field price:float\n"
                  "tandem collection create images --dimensions 512 --metric cosine",
                  [=](Client& client, Session& out) -> absl::Status {
                    v1::CreateCollectionRequest request;
                    request.set_collection_id(*id);
                    for (const std::string& field : *fields) {
                      if (absl::Status status = AddField(field, &request); !status.ok()) return status;
                    }
                    if (*no_keywords) request.set_keyword_index(false);
                    if (external->dimensions() != 0) *request.mutable_external() = *external;
                    request.set_display_name(settings->display_name.value_or(""));
                    if (settings->touches_gate()) {
                      if (absl::Status status = settings->FillGate(request.mutable_gate()); !status.ok()) return status;
                    }
                    if (settings->rollback_window) {
                      absl::StatusOr<google::protobuf::Duration> window = settings->Window();
                      if (!window.ok()) return window.status();
                      *request.mutable_rollback_window() = *window;
                    }
                    absl::StatusOr<v1::Collection> collection = client.collections.Create(std::move(request));
                    if (!collection.ok()) return collection.status();
                    out.Print(*collection, Describe(*collection));
                    return absl::OkStatus();
                  });
  command->add_option("COLLECTION", *id, "Its id; made by the server when left out");
  command->add_option("--field", *fields,
                      "NAME:TYPE of a payload field that filters may name; TYPE is keyword, integer, float, bool or "
                      "datetime. For ever; may be repeated");
  command->add_flag("--no-keyword-index", *no_keywords, "Texts cannot be searched by their words. For ever");
  CLI::Option* dimensions = command->add_option_function<int32_t>(
      "--dimensions", [external](int32_t value) { external->set_dimensions(value); },
      "Documents bring vectors of so many dimensions, and no model embeds their texts");
  const std::map<std::string, v1::Metric> metrics = {
      {"cosine", v1::COSINE}, {"inner-product", v1::INNER_PRODUCT}, {"euclidean", v1::EUCLIDEAN}};
  command
      ->add_option_function<std::string>(
          "--metric", [external, metrics](const std::string& name) { external->set_metric(metrics.at(name)); },
          "Of those vectors: cosine, inner-product or euclidean [cosine]")
      ->check(CLI::IsMember({"cosine", "inner-product", "euclidean"}))
      ->needs(dimensions);
  AddSettings(command, settings);
}

// Reads the collection first: a gate is replaced as a whole, and what was not given stays.
absl::Status Update(Client& client, Session& out, const std::string& name, const Settings& settings) {
  absl::StatusOr<v1::Collection> current = client.collections.Get(name);
  if (!current.ok()) return current.status();
  v1::UpdateCollectionRequest request;
  request.set_name(current->name());
  request.set_etag(current->etag());
  if (settings.display_name) {
    request.mutable_update_mask()->add_paths("display_name");
    request.set_display_name(*settings.display_name);
  }
  if (settings.touches_gate()) {
    request.mutable_update_mask()->add_paths("gate");
    *request.mutable_gate() = current->gate();
    if (absl::Status status = settings.FillGate(request.mutable_gate()); !status.ok()) return status;
  }
  if (settings.rollback_window) {
    absl::StatusOr<google::protobuf::Duration> window = settings.Window();
    if (!window.ok()) return window.status();
    request.mutable_update_mask()->add_paths("rollback_window");
    *request.mutable_rollback_window() = *window;
  }
  if (request.update_mask().paths().empty()) return BadInput("update", "nothing to change was given; see --help");
  absl::StatusOr<v1::Collection> collection = client.collections.Update(std::move(request));
  if (!collection.ok()) return collection.status();
  out.Print(*collection, Describe(*collection));
  return absl::OkStatus();
}

void AddUpdate(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  auto settings = std::make_shared<Settings>();
  CLI::App* command =
      session.Add(parent, "update", "Changes a collection's settings; what is not given stays",
                  "tandem collection update docs --evaluation-set docs/heldout --margin 0.02",
                  [name, settings](Client& client, Session& out) { return Update(client, out, *name, *settings); });
  command->add_option("COLLECTION", *name, "Collection")->required();
  command->add_option("--evaluation-set", settings->evaluation_set,
                      "Gate: COLLECTION/EVALUATION that candidates and the live release are compared on");
  AddSettings(command, settings);
}

void AddList(CLI::App& parent, Session& session) {
  session.Add(
      parent, "list", "Lists the collections", "tandem collection list",
      [](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<std::vector<v1::Collection>> collections = client.collections.List();
        if (!collections.ok()) return collections.status();
        Table table({{"COLLECTION"},
                     {"DOCUMENTS", Table::kRight},
                     {"COMMIT", Table::kRight},
                     {"LIVE"},
                     {"PREVIOUS"},
                     {"MADE"}});
        for (const v1::Collection& collection : *collections) {
          if (out.json) out.PrintLine(ToJson(collection));
          table.AddRow({ShortName(collection.name()), FormatCount(collection.document_count()),
                        FormatCount(collection.commit()), std::string(ShortId(collection.live_release())),
                        std::string(ShortId(collection.previous_release())), FormatTime(collection.create_time())});
        }
        if (!out.json) out.PrintTable(table);
        return absl::OkStatus();
      });
}

void AddShow(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "show", "Shows a collection", "tandem collection show docs",
                                  [name](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Collection> collection = client.collections.Get(*name);
                                    if (!collection.ok()) return collection.status();
                                    out.Print(*collection, Describe(*collection));
                                    return absl::OkStatus();
                                  });
  command->add_option("COLLECTION", *name, "Collection")->required();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "delete", "Deletes a collection with its documents, evaluation sets and releases",
                  "tandem collection delete docs", [name](Client& client, Session& out) -> absl::Status {
                    absl::Status status = client.collections.Delete(*name);
                    if (status.ok()) out.Say(absl::StrCat("deleted ", CollectionName(*name)));
                    return status;
                  });
  command->add_option("COLLECTION", *name, "Collection")->required();
}

}  // namespace

void AddCollectionCommands(CLI::App& app, Session& session) {
  CLI::App* collection =
      Session::AddNoun(app, "collection", "Sets of documents that are searched", "tandem collection create docs");
  AddCreate(*collection, session);
  AddList(*collection, session);
  AddShow(*collection, session);
  AddUpdate(*collection, session);
  AddDelete(*collection, session);
}

}  // namespace tandem::cli
