#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/notification.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/progress_bar.h"
#include "client/cli/release_view.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

constexpr absl::Duration kShowEvery = absl::Milliseconds(500);

absl::Status WaitForBuild(Client& client, Session& out, const std::string& release) {
  absl::StatusOr<v1::Release> built = WatchBuild(client, out, release, /*print_changes=*/false);
  if (!built.ok()) return built.status();
  out.Print(*built, DescribeRelease(*built));
  return OutcomeOf(*built);
}

struct CreateOptions {
  v1::CreateReleaseRequest request;
  std::string index = "flat";
  bool detach = false;
};

absl::Status Create(Client& client, Session& out, const CreateOptions& options) {
  v1::CreateReleaseRequest request = options.request;
  if (options.index == "hnsw") {
    request.mutable_index()->mutable_hnsw();
  } else if (request.index().has_hnsw()) {
    return BadInput("--index", "flat takes none of --m, --ef-construction and --ef-search; they belong to hnsw");
  } else {
    request.mutable_index()->mutable_flat();
  }
  absl::StatusOr<v1::Release> release = client.releases.Create(std::move(request));
  if (!release.ok()) return release.status();
  if (!options.detach) return WaitForBuild(client, out, release->name());
  out.Print(*release, absl::StrCat(DescribeRelease(*release), "follow it with: tandem release watch ",
                                   ShortName(release->name())));
  return absl::OkStatus();
}

void AddHnswOption(CLI::App* command, const std::shared_ptr<CreateOptions>& options, const std::string& name,
                   const std::string& description, void (v1::HnswIndex::*set)(int32_t)) {
  command->add_option_function<int32_t>(
      name, [options, set](int32_t value) { (options->request.mutable_index()->mutable_hnsw()->*set)(value); },
      description);
}

void AddCreate(CLI::App& parent, Session& session) {
  auto options = std::make_shared<CreateOptions>();
  v1::CreateReleaseRequest& request = options->request;
  CLI::App* command =
      session.Add(parent, "create", "Builds a release: embeds the collection with a model revision and indexes it",
                  "tandem release create docs --model mini/r1 --id r1\n"
                  "tandem release create docs --model mini --index hnsw --m 32 --detach",
                  [options](Client& client, Session& out) { return Create(client, out, *options); });
  command->add_option("COLLECTION", *request.mutable_collection(), "Collection")->required();
  command->add_option("--model", *request.mutable_model_revision(), "MODEL/REVISION, or MODEL for its newest")
      ->required();
  command->add_option("--id", *request.mutable_release_id(), "Its id; made by the server when left out");
  command->add_option("--index", options->index, "flat (exact) or hnsw (fast for many documents)")
      ->check(CLI::IsMember({"flat", "hnsw"}))
      ->capture_default_str();
  AddHnswOption(command, options, "--m", "hnsw: links of a node, 4 to 128 [16]", &v1::HnswIndex::set_m);
  AddHnswOption(command, options, "--ef-construction", "hnsw: candidates while building, 8 to 2000 [100]",
                &v1::HnswIndex::set_ef_construction);
  AddHnswOption(command, options, "--ef-search", "hnsw: candidates while searching, 1 to 10000 [64]",
                &v1::HnswIndex::set_ef_search);
  command->add_flag("--detach", options->detach, "Only start to build, do not wait");
}

void AddList(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "list", "Lists a collection's releases, newest first", "tandem release list docs",
      [collection](Client& client, Session& out) -> absl::Status {
        absl::StatusOr<std::vector<v1::Release>> releases = client.releases.List(*collection);
        if (!releases.ok()) return releases.status();
        Table table({{"RELEASE"},
                     {"STATE"},
                     {"MODEL"},
                     {"INDEX"},
                     {"DOCUMENTS", Table::kRight},
                     {"nDCG@10", Table::kRight},
                     {"RECALL@10", Table::kRight},
                     {"MRR@10", Table::kRight},
                     {"MADE"}});
        for (const v1::Release& release : *releases) {
          if (out.json) out.PrintLine(ToJson(release));
          const bool judged = !release.evaluation().evaluation_set().empty();
          const v1::RetrievalMetrics& metrics = release.evaluation().metrics();
          table.AddRow({ShortName(release.name()), EnumName(v1::Release::State_Name(release.state())),
                        ShortName(release.model_revision()), DescribeIndex(release.index()),
                        FormatCount(release.documents_done()), judged ? FormatMetric(metrics.ndcg_at_10()) : "",
                        judged ? FormatMetric(metrics.recall_at_10()) : "",
                        judged ? FormatMetric(metrics.mrr_at_10()) : "", FormatTime(release.create_time())});
        }
        if (!out.json) out.PrintTable(table);
        return absl::OkStatus();
      });
  command->add_option("COLLECTION", *collection, "Collection")->required();
}

// Commands that do one thing with one release and show it.
void AddSimple(CLI::App& parent, Session& session, const std::string& name, const std::string& description,
               absl::StatusOr<v1::Release> (Releases::*call)(absl::string_view) const) {
  auto release = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, name, description, absl::StrCat("tandem release ", name, " docs/r1"),
                                  [release, call](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Release> result = (client.releases.*call)(*release);
                                    if (!result.ok()) return result.status();
                                    out.Print(*result, DescribeRelease(*result));
                                    return absl::OkStatus();
                                  });
  command->add_option("RELEASE", *release, "COLLECTION/RELEASE")->required();
}

void AddWatch(CLI::App& parent, Session& session) {
  auto release = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "watch", "Follows a release until it is built or has caught up", "tandem release watch docs/r1",
                  [release](Client& client, Session& out) -> absl::Status {
                    absl::StatusOr<v1::Release> built = WatchBuild(client, out, *release, /*print_changes=*/true);
                    if (!built.ok()) return built.status();
                    if (!out.json) out.PrintLine(DescribeRelease(*built));
                    return OutcomeOf(*built);
                  });
  command->add_option("RELEASE", *release, "COLLECTION/RELEASE")->required();
}

// The call waits while the release catches up with what was written since it retired: that is shown meanwhile.
absl::StatusOr<v1::PromoteReleaseResponse> PromoteAndShow(Client& client, Session& out,
                                                          const v1::PromoteReleaseRequest& request) {
  absl::StatusOr<v1::PromoteReleaseResponse> response = absl::CancelledError("");
  absl::Notification done;
  std::thread call([&] {
    response = client.releases.Promote(request, std::max(absl::Minutes(10), absl::Seconds(out.timeout_s)));
    done.Notify();
  });
  ProgressBar bar(out.progress_output(), "catching up", "commits");
  while (!done.WaitForNotificationWithTimeout(kShowEvery)) {
    const absl::StatusOr<v1::Release> release = client.releases.Get(request.name());
    if (!release.ok() || release->cursor() >= release->target_commit()) continue;
    ProgressView view;
    view.done = static_cast<double>(release->cursor());
    view.total = static_cast<double>(release->target_commit());
    bar.Update(std::move(view));
  }
  bar.Finish();
  call.join();
  return response;
}

absl::Status Promote(Client& client, Session& out, const v1::PromoteReleaseRequest& request) {
  absl::StatusOr<v1::PromoteReleaseResponse> response = PromoteAndShow(client, out, request);
  if (!response.ok()) return response.status();
  out.Print(*response, DescribePromotion(*response));
  return absl::OkStatus();
}

void AddPromote(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::PromoteReleaseRequest>();
  CLI::App* command =
      session.Add(parent, "promote", "Makes a release live, when the gate lets it pass",
                  "tandem release promote docs/r1\ntandem release promote docs/r1 --override 'new domain, old queries'",
                  [request](Client& client, Session& out) { return Promote(client, out, *request); });
  command->add_option("RELEASE", *request->mutable_name(), "COLLECTION/RELEASE")->required();
  command->add_option("--override", *request->mutable_override_reason(),
                      "Promote although the gate refuses; who and why is recorded");
  command->add_option("--etag", *request->mutable_etag(), "Only when the collection's etag is still this one");
}

void AddRollback(CLI::App& parent, Session& session) {
  auto collection = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "rollback", "Makes the previous release live again", "tandem release rollback docs",
                  [collection](Client& client, Session& out) -> absl::Status {
                    absl::StatusOr<v1::Collection> found = client.collections.Get(*collection);
                    if (!found.ok()) return found.status();
                    if (found->previous_release().empty()) {
                      return absl::FailedPreconditionError(absl::StrCat(found->name(), " has no previous release"));
                    }
                    v1::PromoteReleaseRequest request;
                    request.set_name(found->previous_release());
                    request.set_etag(found->etag());
                    return Promote(client, out, request);
                  });
  command->add_option("COLLECTION", *collection, "Collection")->required();
}

void AddDelete(CLI::App& parent, Session& session) {
  auto release = std::make_shared<std::string>();
  CLI::App* command =
      session.Add(parent, "delete", "Deletes a release that is neither live nor being built",
                  "tandem release delete docs/r1", [release](Client& client, Session& out) -> absl::Status {
                    absl::Status status = client.releases.Delete(*release);
                    if (status.ok()) out.Say(absl::StrCat("deleted ", *release));
                    return status;
                  });
  command->add_option("RELEASE", *release, "COLLECTION/RELEASE")->required();
}

void AddExportIndex(CLI::App& parent, Session& session) {
  auto release = std::make_shared<std::string>();
  auto directory = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "export-index", "Downloads the index as a plain FAISS file, with the documents' ids beside it",
      "tandem release export-index docs/r1 ./docs-r1",
      [release, directory](Client& client, Session& out) -> absl::Status {
        ProgressBar bar(out.progress_output(), "downloading", "bytes");
        absl::Status status = client.releases.ExportIndex(*release, *directory, [&](const TransferProgress& progress) {
          ProgressView view;
          view.done = static_cast<double>(progress.bytes);
          view.total = static_cast<double>(progress.total_bytes);
          bar.Update(std::move(view));
        });
        if (!status.ok()) return status;
        bar.Finish();
        absl::StatusOr<v1::Release> exported = client.releases.Get(*release);
        if (!exported.ok()) return exported.status();
        out.Print(*exported, absl::StrCat("index.faiss and ids.txt of ", *release, " are in ", *directory));
        return absl::OkStatus();
      });
  command->add_option("RELEASE", *release, "COLLECTION/RELEASE")->required();
  command->add_option("DIRECTORY", *directory, "Directory to make; must not be there yet")->required();
}

}  // namespace

void AddReleaseCommands(CLI::App& app, Session& session) {
  CLI::App* release =
      Session::AddNoun(app, "release", "Model revision and index as one, and which one is live",
                       "tandem release create docs --model mini --id r1\ntandem release promote docs/r1");
  AddCreate(*release, session);
  AddList(*release, session);
  AddSimple(*release, session, "show", "Shows a release", &Releases::Get);
  AddWatch(*release, session);
  AddPromote(*release, session);
  AddRollback(*release, session);
  AddSimple(*release, session, "cancel", "Stops a release that is being built", &Releases::Cancel);
  AddDelete(*release, session);
  AddExportIndex(*release, session);
}

}  // namespace tandem::cli
