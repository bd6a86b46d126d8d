#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/job_view.h"
#include "client/cli/line_input.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

struct CompareOptions {
  v1::CompareReleasesRequest request;
  std::string set, queries;
  bool detach = false;
};

absl::Status ReadQueries(const std::string& path, v1::CompareReleasesRequest* request) {
  absl::StatusOr<LineInput> input = LineInput::Open(path);
  if (!input.ok()) return input.status();
  for (std::string line; input->Next(&line);) request->add_queries(line);
  return absl::OkStatus();
}

absl::Status Compare(Client& client, Session& out, const CompareOptions& options) {
  v1::CompareReleasesRequest request = options.request;
  if (options.set.empty() == options.queries.empty()) {
    return BadInput("--set, --queries", "one of the two says which queries the releases are compared on");
  }
  if (!options.queries.empty()) {
    const absl::Status read = ReadQueries(options.queries, &request);
    if (!read.ok()) return read;
  }
  request.set_evaluation_set(options.set);
  absl::StatusOr<v1::Job> job = client.releases.Compare(std::move(request));
  return job.ok() ? FollowJob(client, out, *job, !options.detach) : job.status();
}

void AddCompare(CLI::App& parent, Session& session) {
  auto options = std::make_shared<CompareOptions>();
  v1::CompareReleasesRequest& request = options->request;
  CLI::App* command = session.Add(parent, "compare", "Says how two releases of a collection differ, query by query",
                                  "tandem release compare docs/r1 docs/r2 --set docs/heldout\n"
                                  "tandem release compare docs/r1 docs/r2 --queries yesterday.txt --top-k 20",
                                  [options](Client& client, Session& out) { return Compare(client, out, *options); });
  command->footer(absl::StrCat(
      "On an evaluation set: the metrics of both, their differences with 95% intervals, and the queries "
      "whose nDCG@10\nchanged most. On queries without judgements: how much of the first's hits the second "
      "finds too. Both releases\nare live, previous or ready. The result stays with the job: tandem job "
      "show JOB.\n\n",
      command->get_footer()));
  command->add_option("FIRST", *request.mutable_first(), "COLLECTION/RELEASE")->required();
  command->add_option("SECOND", *request.mutable_second(), "COLLECTION/RELEASE of the same collection")->required();
  command->add_option("--set", options->set, "COLLECTION/SET: an evaluation set");
  command->add_option("--queries", options->queries, "File with one query a line, or - for stdin; at most 10,000");
  command->add_option_function<int32_t>(
      "--top-k", [options](int32_t value) { options->request.set_top_k(value); },
      "Hits of which the overlap is counted, 1 to 100 [10]");
  command->add_option("--request-id", *request.mutable_request_id(),
                      "The same id and options within a day start no second job");
  command->add_flag("--detach", options->detach, "Only start the job, do not wait for it");
}

}  // namespace

void AddReleaseJobCommands(CLI::App& release, Session& session) { AddCompare(release, session); }

}  // namespace tandem::cli
