#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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
  std::string index;  // Empty: by the number of documents.
  std::optional<int32_t> m, ef_construction, ef_search, lists, nprobe, subquantizers, rerank_factor;
  bool detach = false;
};

// A parameter of the index that is asked for, or of another.
struct Parameter {
  absl::string_view flag;
  const std::optional<int32_t>& value;
  std::vector<absl::string_view> kinds;
};

absl::Status CheckParameters(const CreateOptions& options) {
  const std::vector<absl::string_view> lists = {"ivf-flat", "ivf-pq"}, codes = {"ivf-pq", "sq8", "sq16", "binary"};
  for (const Parameter& parameter :
       {Parameter{"--m", options.m, {"hnsw"}}, Parameter{"--ef-construction", options.ef_construction, {"hnsw"}},
        Parameter{"--ef-search", options.ef_search, {"hnsw"}}, Parameter{"--lists", options.lists, lists},
        Parameter{"--nprobe", options.nprobe, lists}, Parameter{"--subquantizers", options.subquantizers, {"ivf-pq"}},
        Parameter{"--rerank-factor", options.rerank_factor, codes}}) {
    if (!parameter.value || absl::c_linear_search(parameter.kinds, options.index)) continue;
    return BadInput(std::string(parameter.flag),
                    absl::StrCat("belongs to --index ", absl::StrJoin(parameter.kinds, ", "),
                                 options.index.empty() ? "" : absl::StrCat(", not to ", options.index)));
  }
  return absl::OkStatus();
}

template <class Index>
void SetLists(const CreateOptions& options, Index* index) {
  if (options.lists) index->set_lists(*options.lists);
  if (options.nprobe) index->set_nprobe(*options.nprobe);
}

template <class Index>
void SetRerankFactor(const CreateOptions& options, Index* index) {
  if (options.rerank_factor) index->set_rerank_factor(*options.rerank_factor);
}

void SetIndex(const CreateOptions& options, v1::IndexSpec* index) {
  if (options.index == "flat") {
    index->mutable_flat();
  } else if (options.index == "hnsw") {
    v1::HnswIndex* const hnsw = index->mutable_hnsw();
    if (options.m) hnsw->set_m(*options.m);
    if (options.ef_construction) hnsw->set_ef_construction(*options.ef_construction);
    if (options.ef_search) hnsw->set_ef_search(*options.ef_search);
  } else if (options.index == "ivf-flat") {
    SetLists(options, index->mutable_ivf_flat());
  } else if (options.index == "ivf-pq") {
    SetLists(options, index->mutable_ivf_pq());
    if (options.subquantizers) index->mutable_ivf_pq()->set_subquantizers(*options.subquantizers);
    SetRerankFactor(options, index->mutable_ivf_pq());
  } else if (options.index == "sq8" || options.index == "sq16") {
    index->mutable_scalar_quantized()->set_storage(options.index == "sq8" ? v1::STORE_INT8 : v1::STORE_FLOAT16);
    SetRerankFactor(options, index->mutable_scalar_quantized());
  } else if (options.index == "binary") {
    SetRerankFactor(options, index->mutable_binary());
  }
}

absl::Status Create(Client& client, Session& out, const CreateOptions& options) {
  v1::CreateReleaseRequest request = options.request;
  if (absl::Status status = CheckParameters(options); !status.ok()) return status;
  if (!options.index.empty()) SetIndex(options, request.mutable_index());
  absl::StatusOr<v1::Release> release = client.releases.Create(std::move(request));
  if (!release.ok()) return release.status();
  if (!options.detach) return WaitForBuild(client, out, release->name());
  out.Print(*release, absl::StrCat(DescribeRelease(*release), "follow it with: tandem release watch ",
                                   ShortName(release->name())));
  return absl::OkStatus();
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
  command->add_option("--model", *request.mutable_model_revision(),
                      "MODEL/REVISION, or MODEL for its newest; none where clients bring the vectors");
  command->add_option("--id", *request.mutable_release_id(), "Its id; made by the server when left out");
  command
      ->add_option("--index", options->index,
                   "flat: exact; hnsw: a graph, fast for many documents; ivf-flat: cells; ivf-pq: cells of short "
                   "codes; sq8, sq16: codes of a byte or a half float a dimension; binary: of a bit. Left out: flat "
                   "up to 20,000 documents, hnsw above")
      ->check(CLI::IsMember({"flat", "hnsw", "ivf-flat", "ivf-pq", "sq8", "sq16", "binary"}));
  command->add_option("--m", options->m, "hnsw: links of a node, 4 to 128 [16]");
  command->add_option("--ef-construction", options->ef_construction,
                      "hnsw: candidates while building, 8 to 2000 [100]");
  command->add_option("--ef-search", options->ef_search, "hnsw: candidates while searching, 1 to 10000 [64]");
  command->add_option("--lists", options->lists,
                      "ivf-flat, ivf-pq: cells, 1 to 65536 [4 times the square root of the documents]");
  command->add_option("--nprobe", options->nprobe,
                      "ivf-flat, ivf-pq: cells that a search visits [a sixteenth, at least 8]");
  command->add_option("--subquantizers", options->subquantizers,
                      "ivf-pq: bytes of a code, a divisor of the dimensions [nearest to a quarter]");
  command->add_option(
      "--rerank-factor", options->rerank_factor,
      "ivf-pq, sq8, sq16, binary: candidates that are scored again for each hit, 1 to 1000 [10, 4, 4, 20]");
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
      session.Add(parent, "watch", "Follows a release until it is built or has caught up",
                  "tandem release watch docs/r1", [release](Client& client, Session& out) -> absl::Status {
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
  AddReleaseJobCommands(*release, session);
  AddExportIndex(*release, session);
}

}  // namespace tandem::cli
