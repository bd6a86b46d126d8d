#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/job_view.h"
#include "client/cli/progress_bar.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

void AddDetach(CLI::App* command, bool* detach) {
  command->add_flag("--detach", *detach, "Only start the job, do not wait for it");
}

void AddCreate(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::CreateSnapshotRequest>();
  auto detach = std::make_shared<bool>(false);
  CLI::App* command = session.Add(
      parent, "create", "Copies a collection with its live release and model revision, as they are at one commit",
      "tandem snapshot create docs --id docs-before-the-move", [request, detach](Client& client, Session& out) {
        absl::StatusOr<v1::Job> job = client.snapshots.Create(*request);
        return job.ok() ? FollowJob(client, out, *job, !*detach) : job.status();
      });
  command->add_option("COLLECTION", *request->mutable_collection(), "Collection")->required();
  command->add_option("--id", *request->mutable_snapshot_id(), "Its id; made by the server when left out");
  command->add_option("--request-id", *request->mutable_request_id(),
                      "The same id and options within a day start no second job");
  AddDetach(command, detach.get());
}

void AddRestore(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::RestoreSnapshotRequest>();
  auto detach = std::make_shared<bool>(false);
  CLI::App* command = session.Add(parent, "restore", "Makes a collection of a snapshot; nothing is embedded",
                                  "tandem snapshot restore docs-before-the-move --as docs2",
                                  [request, detach](Client& client, Session& out) {
                                    absl::StatusOr<v1::Job> job = client.snapshots.Restore(*request);
                                    return job.ok() ? FollowJob(client, out, *job, !*detach) : job.status();
                                  });
  command->footer(
      absl::StrCat("Every file is checked before anything is made. On another server: download the snapshot, unpack "
                   "the tar file in\nthe folder \"default\" of that server's snapshot directory, restore it there.\n\n",
                   command->get_footer()));
  command->add_option("SNAPSHOT", *request->mutable_snapshot_id(), "Snapshot")->required();
  command->add_option("--as", *request->mutable_collection_id(),
                      "Id of the collection that is made [the copied one's]");
  command->add_option("--request-id", *request->mutable_request_id(),
                      "The same id and options within a day start no second job");
  AddDetach(command, detach.get());
}

void AddList(CLI::App& parent, Session& session) {
  session.Add(parent, "list", "Lists snapshots", "tandem snapshot list",
              [](Client& client, Session& out) -> absl::Status {
                absl::StatusOr<std::vector<v1::Snapshot>> snapshots = client.snapshots.List();
                if (!snapshots.ok()) return snapshots.status();
                Table table({{"SNAPSHOT"},
                             {"COLLECTION"},
                             {"RELEASE"},
                             {"MODEL"},
                             {"COMMIT", Table::kRight},
                             {"DOCUMENTS", Table::kRight},
                             {"SIZE", Table::kRight},
                             {"MADE"}});
                for (const v1::Snapshot& snapshot : *snapshots) {
                  if (out.json) out.PrintLine(ToJson(snapshot));
                  table.AddRow({ShortName(snapshot.name()), ShortName(snapshot.collection()),
                                std::string(ShortId(snapshot.release())), ShortName(snapshot.model_revision()),
                                FormatCount(snapshot.commit()), FormatCount(snapshot.documents()),
                                FormatBytes(snapshot.bytes()), FormatTime(snapshot.create_time())});
                }
                if (!out.json) out.PrintTable(table);
                return absl::OkStatus();
              });
}

void AddDelete(CLI::App& parent, Session& session) {
  auto snapshot = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "delete", "Deletes a snapshot; collections made of it stay",
                                  "tandem snapshot delete docs-before-the-move",
                                  [snapshot](Client& client, Session& out) -> absl::Status {
                                    absl::Status status = client.snapshots.Delete(*snapshot);
                                    if (status.ok()) out.Say(absl::StrCat("deleted ", SnapshotName(*snapshot)));
                                    return status;
                                  });
  command->add_option("SNAPSHOT", *snapshot, "Snapshot")->required();
}

void AddDownload(CLI::App& parent, Session& session) {
  auto snapshot = std::make_shared<std::string>(), file = std::make_shared<std::string>();
  CLI::App* command = session.Add(
      parent, "download", "Writes a snapshot into a tar file", "tandem snapshot download docs-before-the-move docs.tar",
      [snapshot, file](Client& client, Session& out) -> absl::Status {
        ProgressBar bar(out.progress_output(), "downloading", "MiB");
        absl::Status status = client.snapshots.Download(*snapshot, *file, [&](const TransferProgress& progress) {
          ProgressView view;
          view.done = static_cast<double>(progress.bytes) / (1 << 20);
          bar.Update(std::move(view));
        });
        bar.Finish();
        if (!status.ok()) return status;
        v1::DownloadSnapshotRequest done;
        done.set_name(SnapshotName(*snapshot));
        out.Print(done, absl::StrCat(*snapshot, " is in ", *file));
        return absl::OkStatus();
      });
  command->add_option("SNAPSHOT", *snapshot, "Snapshot")->required();
  command->add_option("FILE", *file, "Tar file to make; must not be there yet")->required();
}

}  // namespace

void AddSnapshotCommands(CLI::App& app, Session& session) {
  CLI::App* snapshot = Session::AddNoun(app, "snapshot", "Copies of collections",
                                        "tandem snapshot create docs --id s1\ntandem snapshot restore s1 --as docs2");
  AddCreate(*snapshot, session);
  AddRestore(*snapshot, session);
  AddList(*snapshot, session);
  AddDelete(*snapshot, session);
  AddDownload(*snapshot, session);
}

}  // namespace tandem::cli
