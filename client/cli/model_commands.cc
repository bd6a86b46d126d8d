#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/comparison_text.h"
#include "client/cli/format.h"
#include "client/cli/progress_bar.h"
#include "client/cli/validation_text.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

OnTransfer TransferBar(ProgressBar* bar) {
  return [bar](const TransferProgress& progress) {
    ProgressView view;
    view.done = static_cast<double>(progress.bytes);
    view.total = static_cast<double>(progress.total_bytes);
    bar->Update(std::move(view));
  };
}

std::string Sources(const v1::ModelRevision& revision) {
  const auto one = [](const std::string& dataset, int64_t commit) {
    return absl::StrCat(ShortId(dataset), " up to commit ", commit);
  };
  if (revision.dataset().empty()) return "";
  if (revision.sources().empty()) return one(revision.dataset(), revision.dataset_commit());
  std::string all;
  for (const v1::ModelRevision::Source& source : revision.sources()) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", one(source.dataset(), source.commit()));
  }
  return all;
}

std::string Describe(const v1::ModelRevision& revision) {
  const v1::EmbeddingContract& contract = revision.contract();
  return RenderFields({
      {"revision", ShortName(revision.name())},
      {"made", FormatTime(revision.create_time())},
      {"architecture", revision.architecture()},
      {"parameters", FormatCount(revision.parameters())},
      {"dimensions", FormatCount(contract.dimensions())},
      {"longest input", absl::StrCat(contract.max_length(), " tokens")},
      {"pooling", EnumName(v1::Pooling_Name(contract.pooling()))},
      {"metric", EnumName(v1::Metric_Name(contract.metric()))},
      {"query prompt", contract.query_prompt()},
      {"document prompt", contract.document_prompt()},
      {"parent", ShortName(revision.parent())},
      {"dataset", Sources(revision)},
      {"job", std::string(ShortId(revision.job()))},
      {"options", revision.options_json()},
      {"validation", DescribeValidation(revision.validation())},
      {"against parent", ComparisonVerdict(revision.comparison())},
      {"sha256", revision.sha256()},
  });
}

void AddImport(CLI::App& parent, Session& session) {
  struct Options {
    std::string directory, model, revision;
    bool on_server = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = session.Add(
      parent, "import", "Uploads a Hugging Face or sentence-transformers directory as a new revision of a model",
      "tandem model import ./all-MiniLM-L6-v2 --model mini --revision base",
      [options](Client& client, Session& out) -> absl::Status {
        ProgressBar bar(out.progress_output(), "uploading", "bytes");
        absl::StatusOr<v1::ModelRevision> revision =
            options->on_server
                ? client.models.ImportFromServer(options->directory, options->model, options->revision)
                : client.models.Import(options->directory, options->model, options->revision, TransferBar(&bar));
        bar.Finish();
        if (!revision.ok()) return revision.status();
        out.Print(*revision, Describe(*revision));
        return absl::OkStatus();
      });
  command->add_option("DIRECTORY", options->directory, "Directory with config.json, weights and tokenizer")->required();
  command->add_option("--model", options->model, "Model that gets the revision; made when it is not there")->required();
  command->add_option("--revision", options->revision, "Id of the revision; made by the server when left out");
  command->add_flag("--on-server", options->on_server, "DIRECTORY is on the server, below its --model-import-dir");
}

void AddExport(CLI::App& parent, Session& session) {
  auto revision = std::make_shared<std::string>();
  auto directory = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "export", "Downloads a revision as a directory that SentenceTransformer(directory) loads",
      "tandem model export mini/r1 ./mini-r1", [revision, directory](Client& client, Session& out) -> absl::Status {
        ProgressBar bar(out.progress_output(), "downloading", "bytes");
        if (absl::Status status = client.models.Export(*revision, *directory, TransferBar(&bar)); !status.ok()) {
          return status;
        }
        bar.Finish();
        absl::StatusOr<v1::ModelRevision> exported = client.models.GetRevision(*revision);
        if (!exported.ok()) return exported.status();
        out.Print(*exported, absl::StrCat(ShortName(exported->name()), " is in ", *directory));
        return absl::OkStatus();
      });
  command->add_option("REVISION", *revision, "MODEL/REVISION, or MODEL for its newest")->required();
  command->add_option("DIRECTORY", *directory, "Directory to make; must not be there yet")->required();
}

absl::Status ListModels(Client& client, Session& out) {
  absl::StatusOr<std::vector<v1::Model>> models = client.models.List();
  if (!models.ok()) return models.status();
  Table table({{"MODEL"}, {"NEWEST REVISION"}, {"REVISIONS", Table::kRight}, {"MADE"}});
  for (const v1::Model& model : *models) {
    if (out.json) out.PrintLine(ToJson(model));
    table.AddRow({ShortName(model.name()), ShortName(model.newest_revision()), FormatCount(model.revision_count()),
                  FormatTime(model.create_time())});
  }
  if (!out.json) out.PrintTable(table);
  return absl::OkStatus();
}

absl::Status ListRevisions(Client& client, Session& out, const std::string& model) {
  absl::StatusOr<std::vector<v1::ModelRevision>> revisions = client.models.ListRevisions(model);
  if (!revisions.ok()) return revisions.status();
  Table table({{"REVISION"}, {"MADE"}, {"PARENT"}, {"DATASET"}, {"VALIDATION"}});
  for (const v1::ModelRevision& revision : *revisions) {
    if (out.json) out.PrintLine(ToJson(revision));
    table.AddRow({ShortName(revision.name()), FormatTime(revision.create_time()), ShortName(revision.parent()),
                  ShortName(revision.dataset()), HeadlineOf(revision.validation())});
  }
  if (!out.json) out.PrintTable(table);
  return absl::OkStatus();
}

void AddList(CLI::App& parent, Session& session) {
  auto model = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "list", "Lists the models, or the revisions of one",
                  "tandem model list\ntandem model list mini", [model](Client& client, Session& out) {
                    return model->empty() ? ListModels(client, out) : ListRevisions(client, out, *model);
                  });
  command->add_option("MODEL", *model, "Its revisions instead of all models");
}

void AddShow(CLI::App& parent, Session& session) {
  auto revision = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "show", "Shows a revision: contract, lineage, validation", "tandem model show mini/r1",
                  [revision](Client& client, Session& out) -> absl::Status {
                    absl::StatusOr<v1::ModelRevision> found = client.models.GetRevision(*revision);
                    if (!found.ok()) return found.status();
                    out.Print(*found, Describe(*found));
                    return absl::OkStatus();
                  });
  command->add_option("REVISION", *revision, "MODEL/REVISION, or MODEL for its newest")->required();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "delete", "Deletes a revision, or a model with all its revisions",
      "tandem model delete mini/r1\ntandem model delete mini", [name](Client& client, Session& out) -> absl::Status {
        const std::string full = ModelOrRevisionName(*name);
        const bool revision = absl::StrContains(full, "/revisions/");
        absl::Status status = revision ? client.models.DeleteRevision(full) : client.models.Delete(full);
        if (status.ok()) out.Say(absl::StrCat("deleted ", full));
        return status;
      });
  command->add_option("NAME", *name, "MODEL/REVISION or MODEL")->required();
}

}  // namespace

void AddModelCommands(CLI::App& app, Session& session) {
  CLI::App* model = Session::AddNoun(app, "model", "Encoders and their revisions",
                                     "tandem model import ./all-MiniLM-L6-v2 --model mini");
  AddImport(*model, session);
  AddExport(*model, session);
  AddList(*model, session);
  AddShow(*model, session);
  AddDelete(*model, session);
}

}  // namespace tandem::cli
