#include <google/protobuf/util/json_util.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

std::string Describe(const v1::Collection& collection) {
  const v1::FeedbackPolicy& policy = collection.feedback();
  const v1::FeedbackPolicy::Round& last = policy.last();
  return RenderFields(
      {{"collection", ShortName(collection.name())},
       {"feedback into", policy.dataset().empty() ? "nothing: feedback is refused" : ShortName(policy.dataset())},
       {"retrain after",
        policy.has_retrain_after() ? absl::StrCat(FormatCount(policy.retrain_after()), " examples") : "never"},
       {"last round", last.number() == 0 ? "" : absl::StrCat(last.number(), ", begun ", FormatTime(last.start_time()))},
       {"its job", ShortName(last.job())},
       {"its release", ShortName(last.release())},
       {"its outcome", last.outcome()}});
}

void AddSend(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::SendFeedbackRequest>();
  auto relevant = std::make_shared<bool>(false), not_relevant = std::make_shared<bool>(false);
  CLI::App* command = session.Add(
      parent, "send", "Says whether a hit of a search was relevant",
      "tandem feedback send 1f3k5m7p9r1t3v5x7za d42 --relevant",
      [request, relevant, not_relevant](Client& client, Session& out) -> absl::Status {
        if (*relevant == *not_relevant) return BadInput("--relevant, --not-relevant", "give one of the two");
        v1::SendFeedbackRequest sent = *request;
        sent.set_judgement(*relevant ? v1::SendFeedbackRequest::RELEVANT : v1::SendFeedbackRequest::NOT_RELEVANT);
        const absl::Status status = client.search.SendFeedback(sent);
        if (status.ok()) out.Say(absl::StrCat("taken: ", sent.document()));
        return status;
      });
  command->add_option("SEARCH_ID", *request->mutable_search_id(), "search_id of the answer (search --json)")
      ->required();
  command->add_option("DOCUMENT", *request->mutable_document(), "Id of one of its hits")->required();
  command->add_flag("--relevant", *relevant, "It answered the query");
  command->add_flag("--not-relevant", *not_relevant, "It did not");
}

void AddShow(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = session.Add(parent, "show", "Shows a collection's feedback policy and its last round",
                                  "tandem feedback show docs", [name](Client& client, Session& out) -> absl::Status {
                                    absl::StatusOr<v1::Collection> collection = client.collections.Get(*name);
                                    if (!collection.ok()) return collection.status();
                                    out.Print(*collection, Describe(*collection));
                                    return absl::OkStatus();
                                  });
  command->add_option("COLLECTION", *name, "Collection")->required();
}

struct PolicyOptions {
  std::string collection, dataset, training;
  std::optional<int64_t> retrain_after;
  bool off = false;
};

absl::Status SetPolicy(Client& client, Session& out, const PolicyOptions& options) {
  if (options.off == !options.dataset.empty()) return BadInput("--dataset, --off", "give one of the two");
  absl::StatusOr<v1::Collection> current = client.collections.Get(options.collection);
  if (!current.ok()) return current.status();
  v1::UpdateCollectionRequest request;
  request.set_name(current->name());
  request.set_etag(current->etag());
  request.mutable_update_mask()->add_paths("feedback");
  v1::FeedbackPolicy* policy = request.mutable_feedback();
  if (!options.off) policy->set_dataset(DatasetName(options.dataset));
  if (options.retrain_after) policy->set_retrain_after(*options.retrain_after);
  if (!options.training.empty()) {
    const auto parsed = google::protobuf::util::JsonStringToMessage(options.training, policy->mutable_training());
    if (!parsed.ok()) return BadInput("--training", std::string(parsed.message()));
  }
  absl::StatusOr<v1::Collection> collection = client.collections.Update(std::move(request));
  if (!collection.ok()) return collection.status();
  out.Print(*collection, Describe(*collection));
  return absl::OkStatus();
}

void AddPolicy(CLI::App& parent, Session& session) {
  auto options = std::make_shared<PolicyOptions>();
  CLI::App* command =
      session.Add(parent, "policy", "Says where a collection's feedback goes, and when it leads to a new release",
                  "tandem feedback policy docs --dataset docs-feedback --retrain-after 500\n"
                  "tandem feedback policy docs --dataset docs-feedback --retrain-after 500 --training '{\"options\": "
                  "{\"epochs\": 2}}'\n"
                  "tandem feedback policy docs --off",
                  [options](Client& client, Session& out) { return SetPolicy(client, out, *options); });
  command->add_option("COLLECTION", options->collection, "Collection")->required();
  command->add_option("--dataset", options->dataset, "Dataset that gets the pairs; must be there");
  command->add_option("--retrain-after", options->retrain_after,
                      "Train, build a release and ask the gate when so many examples have come in [never]");
  command->add_option(
      "--training", options->training,
      "How: a TrainRequest in JSON, without base_revision, dataset, dataset_commit, objectives and request_id "
      "[its defaults]");
  command->add_flag("--off", options->off, "Take no feedback any more");
}

}  // namespace

void AddFeedbackCommands(CLI::App& app, Session& session) {
  CLI::App* feedback = Session::AddNoun(app, "feedback", "What users say of hits, and what becomes of it",
                                        "tandem feedback policy docs --dataset docs-feedback --retrain-after 500");
  AddSend(*feedback, session);
  AddPolicy(*feedback, session);
  AddShow(*feedback, session);
}

}  // namespace tandem::cli
