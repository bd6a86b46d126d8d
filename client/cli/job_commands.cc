#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/job_view.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

void AddList(CLI::App& parent, Session& session) {
  auto limit = std::make_shared<size_t>(50);
  CLI::App* command = session.Add(
      parent, "list", "Lists the jobs, newest first", "tandem job list --limit 10",
      [limit](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<std::vector<v1::Job>> jobs = client.jobs.List(*limit);
        if (!jobs.ok()) return jobs.status();
        Table table(
            {{"JOB"}, {"KIND"}, {"STATE"}, {"STEP", Table::kRight}, {"MADE"}, {"BASE"}, {"DATASET"}, {"RESULT"}});
        for (const v1::Job& job : *jobs) {
          if (out.json) out.PrintLine(ToJson(job));
          table.AddRow({ShortName(job.name()), EnumName(v1::Job::Kind_Name(job.kind())),
                        EnumName(v1::Job::State_Name(job.state())), absl::StrCat(job.step(), "/", job.total_steps()),
                        FormatTime(job.create_time()), ShortName(job.base_revision()), ShortName(job.dataset()),
                        SummarizeResult(job)});
        }
        if (!out.json) out.PrintTable(table);
        return absl::OkStatus();
      });
  command->add_option("--limit", *limit, "How many; 0 is all")->capture_default_str();
}

void AddShow(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "show", "Shows a job", "tandem job show j1",
                                  [name](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Job> job = client.jobs.Get(*name);
                                    if (!job.ok()) return job.status();
                                    out.Print(*job, DescribeJob(*job));
                                    return absl::OkStatus();
                                  });
  command->add_option("JOB", *name, "Job")->required();
}

void AddWatch(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  auto after = std::make_shared<int64_t>(0);
  CLI::App* command = session.Add(parent, "watch", "Follows a job to its end; the exit code says how it ended",
                                  "tandem job watch j1\ntandem --json job watch j1 --after-sequence 40",
                                  [name, after](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Job> job =
                                        WatchWithBar(client, out, *name, *after, /*print_events=*/true);
                                    if (!job.ok()) return job.status();
                                    if (!out.json) out.PrintLine(DescribeJob(*job));
                                    return OutcomeOf(*job);
                                  });
  command->add_option("JOB", *name, "Job")->required();
  command->add_option("--after-sequence", *after, "Only events after this one")->check(CLI::NonNegativeNumber);
}

void AddCancel(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "cancel", "Asks a job to stop", "tandem job cancel j1",
                                  [name](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Job> job = client.jobs.Cancel(*name);
                                    if (!job.ok()) return job.status();
                                    out.Print(*job, DescribeJob(*job));
                                    return absl::OkStatus();
                                  });
  command->add_option("JOB", *name, "Job")->required();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "delete", "Deletes a finished job; the revision that it made stays",
                                  "tandem job delete j1", [name](Client& client, Session& out) -> absl::Status {
                                    absl::Status status = client.jobs.Delete(*name);
                                    if (status.ok()) out.Say(absl::StrCat("deleted ", JobName(*name)));
                                    return status;
                                  });
  command->add_option("JOB", *name, "Job")->required();
}

}  // namespace

void AddJobCommands(CLI::App& app, Session& session) {
  CLI::App* job = Session::AddNoun(app, "job", "Long work: training, mining of negatives, analysis of datasets",
                                   "tandem job watch j1");
  AddList(*job, session);
  AddShow(*job, session);
  AddWatch(*job, session);
  AddCancel(*job, session);
  AddDelete(*job, session);
}

}  // namespace tandem::cli
