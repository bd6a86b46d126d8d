#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/commands.h"
#include "client/cli/file_upload.h"
#include "client/cli/format.h"
#include "client/cli/records.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

constexpr char kFormats[] =
    "JSON lines (the default; also for stdin):\n"
    "  {\"anchor\": \"…\", \"positive\": \"…\", \"negative\": \"…\"}   positives and negatives are lists\n"
    "  {\"first\": \"…\", \"second\": \"…\", \"score\": 0.8}\n"
    "  {\"first\": \"…\", \"second\": \"…\", \"similar\": true}\n"
    "  {\"text\": \"…\", \"label\": \"…\"}\n"
    "  {\"text\": \"…\"}\n"
    "Tab-separated (.tsv or .txt, or --format tsv), with the columns of --kind:\n"
    "  pair: anchor, positive, negatives…   scored: first, second, score\n"
    "  labelled: first, second, true|false   class: text, label   text: text\n"
    "Lines that are refused are reported by their number; the others are taken, and the exit code is 1.\n\n";

// REQUIRES: one of the names that --kind takes.
ExampleKind KindOf(absl::string_view name) {
  if (name == "scored") return ExampleKind::kScoredPair;
  if (name == "labelled") return ExampleKind::kLabelledPair;
  if (name == "class") return ExampleKind::kLabelledText;
  if (name == "text") return ExampleKind::kText;
  return ExampleKind::kPair;
}

std::string Describe(const v1::Dataset& dataset) {
  return RenderFields({{"dataset", ShortName(dataset.name())},
                       {"display name", dataset.display_name()},
                       {"made", FormatTime(dataset.create_time())},
                       {"examples", FormatCount(dataset.example_count())},
                       {"commit", FormatCount(dataset.commit())}});
}

void AddCreate(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::CreateDatasetRequest>();
  CLI::App* command = session.Add(parent, "create", "Makes an empty dataset", "tandem dataset create pairs",
                                  [request](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Dataset> dataset = client.datasets.Create(*request);
                                    if (!dataset.ok()) return dataset.status();
                                    out.Print(*dataset, Describe(*dataset));
                                    return absl::OkStatus();
                                  });
  command->add_option("DATASET", *request->mutable_dataset_id(), "Its id; made by the server when left out");
  command->add_option("--display-name", *request->mutable_display_name(), "A name for people");
}

void AddAppend(CLI::App& parent, Session& session) {
  struct Options {
    std::string dataset, path, format, kind = "pair", request_id;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = session.Add(
      parent, "append", "Adds training examples from a file or, as \"-\", from stdin",
      "tandem dataset append pairs train.jsonl\ncut -f1,2 log.tsv | tandem dataset append pairs - --format tsv",
      [options](Client& client, Session& out) -> absl::Status {
        const RecordFormat format = options->format.empty()    ? FormatOf(options->path)
                                    : options->format == "tsv" ? RecordFormat::kTsv
                                                               : RecordFormat::kJsonl;
        const ExampleKind kind = KindOf(options->kind);
        const FileUpload upload{.path = options->path,
                                .unit = "examples",
                                .parent = DatasetName(options->dataset),
                                .request_id = options->request_id};
        return UploadRecords<v1::Example>(
            out, upload, [format, kind](absl::string_view line) { return ParseExample(line, format, kind); },
            [&](const ItemSource<v1::Example>& source, const UploadOptions& how, const UploadCallbacks& callbacks) {
              return client.datasets.Append(options->dataset, source, how, callbacks);
            });
      });
  command->footer(absl::StrCat(kFormats, command->get_footer()));
  command->add_option("DATASET", options->dataset, "Dataset that gets the examples")->required();
  command->add_option("FILE", options->path, "File with one example a line, or - for stdin")->required();
  command->add_option("--format", options->format, "jsonl or tsv; by the file's name when left out")
      ->check(CLI::IsMember({"jsonl", "tsv"}));
  command->add_option("--kind", options->kind, "What the columns of TSV are: pair, scored, labelled, class or text")
      ->check(CLI::IsMember({"pair", "scored", "labelled", "class", "text"}))
      ->capture_default_str();
  command->add_option("--request-id", options->request_id,
                      "Makes repeating an interrupted upload of the same file store nothing twice");
}

void AddList(CLI::App& parent, Session& session) {
  session.Add(
      parent, "list", "Lists the datasets", "tandem dataset list", [](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<std::vector<v1::Dataset>> datasets = client.datasets.List();
        if (!datasets.ok()) return datasets.status();
        Table table({{"DATASET"}, {"EXAMPLES", Table::kRight}, {"COMMIT", Table::kRight}, {"MADE"}, {"DISPLAY NAME"}});
        for (const v1::Dataset& dataset : *datasets) {
          if (out.json) out.PrintLine(ToJson(dataset));
          table.AddRow({ShortName(dataset.name()), FormatCount(dataset.example_count()), FormatCount(dataset.commit()),
                        FormatTime(dataset.create_time()), dataset.display_name()});
        }
        if (!out.json) out.PrintTable(table);
        return absl::OkStatus();
      });
}

void AddShow(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "show", "Shows a dataset", "tandem dataset show pairs",
                                  [name](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Dataset> dataset = client.datasets.Get(*name);
                                    if (!dataset.ok()) return dataset.status();
                                    out.Print(*dataset, Describe(*dataset));
                                    return absl::OkStatus();
                                  });
  command->add_option("DATASET", *name, "Dataset")->required();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "delete", "Deletes a dataset with its examples",
                                  "tandem dataset delete pairs", [name](Client& client, Session& out) -> absl::Status {
                                    absl::Status status = client.datasets.Delete(*name);
                                    if (status.ok()) out.Say(absl::StrCat("deleted ", DatasetName(*name)));
                                    return status;
                                  });
  command->add_option("DATASET", *name, "Dataset")->required();
}

// Left: what asks, or the text; right: what answers, or its class.
std::pair<std::string, std::string> Sides(const v1::Example& example) {
  switch (example.kind_case()) {
    case v1::Example::kPair:
      return {example.pair().anchor(), example.pair().positives_size() > 0 ? example.pair().positives(0) : ""};
    case v1::Example::kScoredPair:
      return {example.scored_pair().first(),
              absl::StrCat(example.scored_pair().score(), "  ", example.scored_pair().second())};
    case v1::Example::kLabelledPair:
      return {example.labelled_pair().first(),
              absl::StrCat(example.labelled_pair().similar() ? "similar  " : "different  ",
                           example.labelled_pair().second())};
    case v1::Example::kLabelledText:
      return {example.labelled_text().text(), example.labelled_text().label()};
    case v1::Example::kText:
      return {example.text().text(), ""};
    case v1::Example::KIND_NOT_SET:
      return {};
  }
  return {};
}

void AddExamples(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  auto limit = std::make_shared<size_t>(20);
  CLI::App* command = session.Add(
      parent, "examples", "Shows stored examples", "tandem dataset examples pairs --limit 5",
      [name, limit](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<std::vector<v1::ListExamplesResponse::Item>> items = client.datasets.Examples(*name, *limit);
        if (!items.ok()) return items.status();
        Table table({{"COMMIT", Table::kRight}, {"FIRST"}, {"SECOND"}});
        for (const auto& item : *items) {
          if (out.json) out.PrintLine(ToJson(item));
          const auto [left, right] = Sides(item.example());
          table.AddRow({FormatCount(item.commit()), left, right});
        }
        if (!out.json) out.PrintTable(table);
        return absl::OkStatus();
      });
  command->add_option("DATASET", *name, "Dataset")->required();
  command->add_option("--limit", *limit, "How many; 0 is all")->capture_default_str();
}

}  // namespace

void AddDatasetCommands(CLI::App& app, Session& session) {
  CLI::App* dataset = Session::AddNoun(app, "dataset", "Training examples",
                                       "tandem dataset create pairs\ntandem dataset append pairs train.jsonl");
  AddCreate(*dataset, session);
  AddAppend(*dataset, session);
  AddList(*dataset, session);
  AddShow(*dataset, session);
  AddExamples(*dataset, session);
  AddDatasetJobCommands(*dataset, session);
  AddDelete(*dataset, session);
}

}  // namespace tandem::cli
