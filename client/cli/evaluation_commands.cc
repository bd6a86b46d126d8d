#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/line_input.h"
#include "client/cli/records.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

constexpr char kFormats[] =
    "JSON lines: {\"text\": \"…\", \"judgements\": [{\"document\": \"ID\", \"grade\": 1}]}; a grade is 1 to 100 and "
    "may be\n"
    "left out. With --qrels, FILE is BEIR's queries.jsonl ({\"_id\", \"text\"}) and the judgements come from "
    "qrels.tsv\n"
    "(query, document, grade); queries without a judgement and judgements of grade 0 are left out. Every line must be\n"
    "right: a set is immutable once made.\n\n";

std::string Describe(const v1::EvaluationSet& set) {
  return RenderFields({{"evaluation set", ShortName(set.name())},
                       {"queries", FormatCount(set.query_count())},
                       {"made", FormatTime(set.create_time())}});
}

absl::Status AtLine(const LineInput& input, const absl::Status& status) {
  return Annotate(status, absl::StrCat(input.name(), ":", input.line_number()));
}

absl::Status ReadQueries(const std::string& path, v1::CreateEvaluationSetRequest* request) {
  absl::StatusOr<LineInput> input = LineInput::Open(path);
  if (!input.ok()) return input.status();
  for (std::string line; input->Next(&line);) {
    absl::StatusOr<v1::EvaluationQuery> query = ParseEvaluationQuery(line);
    if (!query.ok()) return AtLine(*input, query.status());
    *request->add_queries() = *std::move(query);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unordered_map<std::string, std::vector<BeirJudgement>>> ReadQrels(const std::string& path) {
  absl::StatusOr<LineInput> input = LineInput::Open(path);
  if (!input.ok()) return input.status();
  std::unordered_map<std::string, std::vector<BeirJudgement>> judgements;
  for (std::string line; input->Next(&line);) {
    absl::StatusOr<BeirJudgement> judgement = ParseBeirJudgement(line);
    if (!judgement.ok() && input->line_number() == 1) continue;  // BEIR's files begin with the columns' names.
    if (!judgement.ok()) return AtLine(*input, judgement.status());
    if (judgement->grade > 0) judgements[judgement->query].push_back(*judgement);
  }
  return judgements;
}

absl::Status ReadBeir(const std::string& queries, const std::string& qrels, v1::CreateEvaluationSetRequest* request) {
  auto judgements = ReadQrels(qrels);
  if (!judgements.ok()) return judgements.status();
  absl::StatusOr<LineInput> input = LineInput::Open(queries);
  if (!input.ok()) return input.status();
  for (std::string line; input->Next(&line);) {
    absl::StatusOr<BeirQuery> beir = ParseBeirQuery(line);
    if (!beir.ok()) return AtLine(*input, beir.status());
    const auto found = judgements->find(beir->id);
    if (found == judgements->end()) continue;
    v1::EvaluationQuery* query = request->add_queries();
    query->set_text(beir->text);
    for (const BeirJudgement& judged : found->second) {
      v1::Judgement* judgement = query->add_judgements();
      judgement->set_document(judged.document);
      judgement->set_grade(judged.grade);
    }
  }
  return absl::OkStatus();
}

void AddCreate(CLI::App& parent, Session& session) {
  struct Options {
    std::string collection, path, qrels, id;
    bool gate = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      session.Add(parent, "create", "Makes an evaluation set: queries and the documents that answer them",
                  "tandem evaluation create docs heldout.jsonl --id heldout --gate\n"
                  "tandem evaluation create docs queries.jsonl --qrels qrels/test.tsv",
                  [options](Client& client, Session& out) -> absl::Status {
                    v1::CreateEvaluationSetRequest request;
                    request.set_collection(options->collection);
                    request.set_evaluation_set_id(options->id);
                    absl::Status read = options->qrels.empty() ? ReadQueries(options->path, &request)
                                                               : ReadBeir(options->path, options->qrels, &request);
                    if (!read.ok()) return read;
                    absl::StatusOr<v1::EvaluationSet> set = client.collections.CreateEvaluationSet(std::move(request));
                    if (!set.ok()) return set.status();
                    if (options->gate) {
                      absl::StatusOr<v1::Collection> collection = client.collections.Get(options->collection);
                      if (!collection.ok()) return collection.status();
                      v1::UpdateCollectionRequest update;
                      update.set_name(collection->name());
                      update.set_etag(collection->etag());
                      *update.mutable_gate() = collection->gate();
                      update.mutable_gate()->set_evaluation_set(set->name());
                      update.mutable_update_mask()->add_paths("gate");
                      if (auto updated = client.collections.Update(std::move(update)); !updated.ok())
                        return updated.status();
                    }
                    out.Print(*set, Describe(*set));
                    return absl::OkStatus();
                  });
  command->footer(absl::StrCat(kFormats, command->get_footer()));
  command->add_option("COLLECTION", options->collection, "Collection that the queries search")->required();
  command->add_option("FILE", options->path, "File with one query a line, or - for stdin")->required();
  command->add_option("--qrels", options->qrels, "BEIR's qrels.tsv, with FILE as BEIR's queries.jsonl");
  command->add_option("--id", options->id, "Its id; made by the server when left out");
  command->add_flag("--gate", options->gate, "Releases of the collection are judged by it from now on");
}

void AddList(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "list", "Lists a collection's evaluation sets", "tandem evaluation list docs",
      [collection](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<std::vector<v1::EvaluationSet>> sets = client.collections.ListEvaluationSets(*collection);
        if (!sets.ok()) return sets.status();
        Table table({{"EVALUATION SET"}, {"QUERIES", Table::kRight}, {"MADE"}});
        for (const v1::EvaluationSet& set : *sets) {
          if (out.json) out.PrintLine(ToJson(set));
          table.AddRow({ShortName(set.name()), FormatCount(set.query_count()), FormatTime(set.create_time())});
        }
        if (!out.json) out.PrintTable(table);
        return absl::OkStatus();
      });
  command->add_option("COLLECTION", *collection, "Collection")->required();
}

void AddShow(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "show", "Shows an evaluation set", "tandem evaluation show docs/heldout",
                                  [name](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::EvaluationSet> set = client.collections.GetEvaluationSet(*name);
                                    if (!set.ok()) return set.status();
                                    out.Print(*set, Describe(*set));
                                    return absl::OkStatus();
                                  });
  command->add_option("EVALUATION", *name, "COLLECTION/EVALUATION")->required();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "delete", "Deletes an evaluation set", "tandem evaluation delete docs/heldout",
                  [name](Client& client, Session& out) -> absl::Status {
                    absl::Status status = client.collections.DeleteEvaluationSet(*name);
                    if (status.ok()) out.Say(absl::StrCat("deleted ", *name));
                    return status;
                  });
  command->add_option("EVALUATION", *name, "COLLECTION/EVALUATION")->required();
}

}  // namespace

void AddEvaluationCommands(CLI::App& app, Session& session) {
  CLI::App* evaluation = Session::AddNoun(app, "evaluation", "What releases are judged by",
                                          "tandem evaluation create docs heldout.jsonl --id heldout --gate");
  AddCreate(*evaluation, session);
  AddList(*evaluation, session);
  AddShow(*evaluation, session);
  AddDelete(*evaluation, session);
}

}  // namespace tandem::cli
