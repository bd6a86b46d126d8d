#include "tests/e2e/life_cycle.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "tests/support/tiny_model.h"

namespace tandem::test {
namespace {

constexpr char kModel[] = "m";
constexpr char kRevisionA[] = "models/m/revisions/a";
constexpr char kRevisionB[] = "models/m/revisions/b";
constexpr char kCollection[] = "collections/docs";
constexpr int kExamplesOfOneMessage = 20;

// The kind, step, loss and text of an event are what a run that is not disturbed shows as well.
JobEventFact FactOf(const v1::JobEvent& event) {
  switch (event.event_case()) {
    case v1::JobEvent::kStateChanged:
      return {.kind = "state", .text = v1::Job::State_Name(event.state_changed())};
    case v1::JobEvent::kStep:
      return {.kind = "step", .step = event.step().step(), .loss = event.step().loss()};
    case v1::JobEvent::kValidation:
      return {.kind = "validation", .step = event.validation().step(), .loss = event.validation().metrics().loss()};
    case v1::JobEvent::kCheckpoint:
      return {.kind = "checkpoint", .step = event.checkpoint().step()};
    case v1::JobEvent::kComparison:
      return {.kind = "comparison", .step = event.comparison().step(), .loss = event.comparison().after().loss()};
    case v1::JobEvent::kMessage:
      return {.kind = "message", .text = event.message().text()};
    case v1::JobEvent::kProgress:  // Of jobs in tandemd, which this life has none of.
    case v1::JobEvent::kHeartbeat:
    case v1::JobEvent::EVENT_NOT_SET:
      break;
  }
  return {};
}

template <class Item>
ItemSource<Item> SourceOf(const std::vector<Item>& items) {
  return [&items, next = size_t{0}]() mutable -> absl::StatusOr<std::optional<Numbered<Item>>> {
    if (next == items.size()) return std::optional<Numbered<Item>>();
    const size_t position = next++;
    return std::optional<Numbered<Item>>({items[position], static_cast<int64_t>(position)});
  };
}

v1::Document DocumentOf(const Ledger::Write& write) {
  v1::Document document;
  document.set_id(write.id);
  document.set_text(write.text);
  (*document.mutable_payload()->mutable_fields())["text"].set_string_value(write.text);
  return document;
}

}  // namespace

std::string PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kModels:
      return "models";
    case Phase::kUpload:
      return "upload";
    case Phase::kTrain:
      return "train";
    case Phase::kBuild:
      return "build";
    case Phase::kPromote:
      return "promote";
    case Phase::kUpserts:
      return "upserts";
    case Phase::kRollback:
      return "rollback";
    case Phase::kDelete:
      return "delete";
  }
  return "";
}

void WriteLifeCycleModels(const std::filesystem::path& directory) {
  WriteTinyModel(directory / "a", {.seed = 1});
  WriteTinyModel(directory / "b", {.seed = 2});
}

std::vector<std::string> LifeCycleFlags(const std::filesystem::path& import_directory) {
  return {"--model-import-dir=" + import_directory.string(), "--threads=1", "--trainer-threads=1", "--seal-fresh=64"};
}

Client ConnectWithoutPatience(const std::string& address) {
  ConnectionOptions options;
  options.retry.first_delay = absl::Milliseconds(20);  // Also gRPC's own, until it tries a dead address again.
  options.retry.call_patience = absl::ZeroDuration();
  options.retry.stream_patience = absl::ZeroDuration();
  return *Client::Connect(address, options);
}

std::string TextOf(uint64_t seed, uint64_t number) {
  std::seed_seq sequence{seed, number};
  std::mt19937 random(sequence);
  std::string text;
  const uint32_t words = 3 + random() % 4;
  for (uint32_t i = 0; i < words; ++i) absl::StrAppend(&text, i == 0 ? "" : " ", "w", random() % 200);
  return text;
}

LifeCycle::LifeCycle(LifeCycleOptions options, Ledger* ledger, int cycle)
    : options_(std::move(options)), ledger_(ledger), cycle_(cycle) {}

std::string LifeCycle::Id(std::string_view base) const {
  return cycle_ == 0 ? std::string(base) : absl::StrCat(std::string(base), "-", cycle_);
}

std::string LifeCycle::ReleaseName(std::string_view base) const {
  return absl::StrCat(kCollection, "/releases/", Id(base));
}

absl::Status LifeCycle::Run(const std::string& address, Phase phase) {
  const Client client = ConnectWithoutPatience(address);
  switch (phase) {
    case Phase::kModels:
      return Models(client);
    case Phase::kUpload:
      return Upload(client);
    case Phase::kTrain:
      return Train(client);
    case Phase::kBuild:
      return Build(client);
    case Phase::kPromote:
      return Promote(client);
    case Phase::kUpserts:
      return Upserts(client);
    case Phase::kRollback:
      return Rollback(client);
    case Phase::kDelete:
      return Delete(client);
  }
  return absl::OkStatus();
}

absl::Status LifeCycle::Models(const Client& client) {
  for (const char* id : {"a", "b"}) {
    const std::string name = absl::StrCat("models/m/revisions/", id);
    ledger_->Attempt(name);
    absl::StatusOr<v1::ModelRevision> revision = client.models.GetRevision(name);
    if (absl::IsNotFound(revision.status())) {
      revision = id == std::string_view("a")
                     ? client.models.ImportFromServer(id, kModel, id)
                     : client.models.Import((options_.import_directory / id).string(), kModel, id);
    }
    RETURN_IF_ERROR(revision.status());
    ledger_->AcknowledgeRevision(name, revision->sha256());
  }
  return absl::OkStatus();
}

absl::Status LifeCycle::Upload(const Client& client) {
  RETURN_IF_ERROR(AppendExamples(client));
  RETURN_IF_ERROR(CreateCollection(client));
  RETURN_IF_ERROR(WriteFirstDocuments(client));
  return CreateEvaluationSet(client);
}

absl::Status LifeCycle::AppendExamples(const Client& client) {
  const std::string dataset = "datasets/" + Id("pairs");
  ledger_->Attempt(dataset);
  v1::CreateDatasetRequest create;
  create.set_dataset_id(Id("pairs"));
  create.set_request_id(Id("create-pairs"));
  RETURN_IF_ERROR(client.datasets.Create(create).status());
  ledger_->Acknowledge(dataset);

  std::vector<v1::Example> examples(static_cast<size_t>(options_.examples));
  std::vector<std::string> serialised;
  for (size_t i = 0; i < examples.size(); ++i) {
    examples[i].mutable_pair()->set_anchor(absl::StrCat("w", i % 200, " ", TextOf(options_.seed, 1'000'000 + i)));
    examples[i].mutable_pair()->add_positives(absl::StrCat("w", i % 200, " ", TextOf(options_.seed, 2'000'000 + i)));
    serialised.push_back(examples[i].SerializeAsString());
  }
  int64_t acknowledged = 0;
  const auto on_progress = [&](const UploadProgress& progress) {
    ledger_->AcknowledgeExamples(dataset, acknowledged + 1,
                                 {serialised.begin() + acknowledged, serialised.begin() + progress.accepted});
    acknowledged = progress.accepted;
  };
  return client.datasets
      .Append(dataset, SourceOf(examples), {.request_id = Id("append"), .max_items_per_message = kExamplesOfOneMessage},
              {.on_progress = on_progress})
      .status();
}

absl::Status LifeCycle::CreateCollection(const Client& client) {
  ledger_->Attempt(kCollection);
  v1::CreateCollectionRequest create;
  create.set_collection_id(kCollectionId);
  create.set_request_id("create-docs");
  const absl::Duration window = options_.rollback_window;
  create.mutable_rollback_window()->set_seconds(absl::ToInt64Seconds(window));
  create.mutable_rollback_window()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(window - absl::Floor(window, absl::Seconds(1)))));
  RETURN_IF_ERROR(client.collections.Create(create).status());
  ledger_->Acknowledge(kCollection);
  return absl::OkStatus();
}

absl::Status LifeCycle::WriteFirstDocuments(const Client& client) {
  if (ledger_->IsDone("first documents")) return absl::OkStatus();
  std::vector<Ledger::Write> upserted, imported;
  for (int i = 0; i < options_.documents; ++i) {
    Ledger::Write write{absl::StrCat("d", i), TextOf(options_.seed, static_cast<uint64_t>(i))};
    (i % 2 == 0 ? upserted : imported).push_back(std::move(write));
  }
  std::vector<v1::Document> documents;
  for (const Ledger::Write& write : imported) documents.push_back(DocumentOf(write));
  ledger_->AttemptWrites(upserted);
  ledger_->AttemptWrites(imported);
  std::vector<v1::Document> batch;
  for (const Ledger::Write& write : upserted) batch.push_back(DocumentOf(write));
  ASSIGN_OR_RETURN(const int64_t commit, client.collections.Upsert(kCollection, batch, "first-documents"));
  ledger_->AcknowledgeWrites(upserted, commit);
  int64_t acknowledged = 0;
  const auto on_progress = [&](const UploadProgress& progress) {
    ledger_->AcknowledgeWrites({imported.begin() + acknowledged, imported.begin() + progress.accepted},
                               progress.commit);
    acknowledged = progress.accepted;
  };
  RETURN_IF_ERROR(client.collections
                      .Import(kCollection, SourceOf(documents), {.request_id = "import", .max_items_per_message = 10},
                              {.on_progress = on_progress})
                      .status());
  ledger_->MarkDone("first documents");
  return absl::OkStatus();
}

absl::Status LifeCycle::CreateEvaluationSet(const Client& client) {
  const std::string name = absl::StrCat(kCollection, "/evaluationSets/heldout");
  ledger_->Attempt(name);
  v1::CreateEvaluationSetRequest create;
  create.set_collection(kCollection);
  create.set_evaluation_set_id("heldout");
  create.set_request_id("create-heldout");
  for (int i = 0; i < 20; ++i) {
    v1::EvaluationQuery* query = create.add_queries();
    query->set_text(TextOf(options_.seed, static_cast<uint64_t>(i)));
    v1::Judgement* judgement = query->add_judgements();
    judgement->set_document(absl::StrCat("d", i));
    judgement->set_grade(1);
  }
  RETURN_IF_ERROR(client.collections.CreateEvaluationSet(create).status());
  ledger_->Acknowledge(name);

  // The gate measures, and refuses nothing: which of two random encoders is better is no matter here.
  if (ledger_->IsDone("gate")) return absl::OkStatus();
  v1::UpdateCollectionRequest update;
  update.set_name(kCollection);
  update.mutable_update_mask()->add_paths("gate");
  update.mutable_gate()->set_evaluation_set(name);
  update.mutable_gate()->set_margin(1);
  update.mutable_gate()->set_min_index_recall(0);
  RETURN_IF_ERROR(client.collections.Update(update).status());
  ledger_->MarkDone("gate");
  return absl::OkStatus();
}

absl::Status LifeCycle::Train(const Client& client) {
  const std::string key = TrainRequestId();
  if (!ledger_->job(key).revision.empty()) return absl::OkStatus();
  v1::TrainRequest request;
  request.set_request_id(key);
  request.set_base_revision(kRevisionA);
  request.set_dataset("datasets/" + Id("pairs"));
  v1::TrainingOptions& training = *request.mutable_options();
  training.set_batch_size(8);
  training.set_epochs(1000);
  training.set_max_steps(options_.train_steps);
  training.set_learning_rate(2e-3);
  training.set_validation_fraction(0.1);
  training.set_evaluation_steps(options_.train_steps / 3);
  training.set_checkpoint_steps(options_.checkpoint_steps);
  ASSIGN_OR_RETURN(const v1::Job job, client.jobs.Train(request));
  ledger_->AcknowledgeJob(key, job.name());

  absl::Status conflict;
  ASSIGN_OR_RETURN(const v1::Job finished,
                   client.jobs.Watch(job.name(), /*after_sequence=*/0, [&](const v1::JobEvent& event) {
                     if (!event.has_heartbeat()) {
                       conflict.Update(ledger_->SeeJobEvent(key, event.sequence(), FactOf(event)));
                     }
                   }));
  RETURN_IF_ERROR(conflict);
  if (finished.state() != v1::Job::SUCCEEDED) {
    return absl::InternalError(absl::StrCat(job.name(), " ended as ", v1::Job::State_Name(finished.state()), ": ",
                                            finished.error().message()));
  }
  ASSIGN_OR_RETURN(const v1::ModelRevision revision, client.models.GetRevision(finished.model_revision()));
  ledger_->AcknowledgeJobResult(key, revision.name(), revision.sha256());
  return absl::OkStatus();
}

absl::Status LifeCycle::Build(const Client& client) {
  RETURN_IF_ERROR(CreateRelease(client, "r1", kRevisionA, /*hnsw=*/false));
  RETURN_IF_ERROR(CreateRelease(client, "r2", ledger_->job(TrainRequestId()).revision, /*hnsw=*/true));
  RETURN_IF_ERROR(CreateRelease(client, "r3", kRevisionB, /*hnsw=*/false));
  return PromoteOnce(client, "r1", "promote-r1");
}

absl::Status LifeCycle::Promote(const Client& client) {
  RETURN_IF_ERROR(PromoteOnce(client, "r2", "promote-r2"));
  return WriteDocuments(client, "promoted", 3);
}

absl::Status LifeCycle::Upserts(const Client& client) {
  RETURN_IF_ERROR(WriteDocuments(client, "upserts", options_.write_calls));
  return SearchHead(client);
}

absl::Status LifeCycle::Rollback(const Client& client) {
  RETURN_IF_ERROR(PromoteOnce(client, "r1", "rollback-r1"));
  RETURN_IF_ERROR(WriteDocuments(client, "rolled-back", 3));
  RETURN_IF_ERROR(PromoteOnce(client, "r2", "forward-r2"));
  RETURN_IF_ERROR(WriteDocuments(client, "forward", 3));
  RETURN_IF_ERROR(WaitRetired(client, "r1", "retired-r1"));
  RETURN_IF_ERROR(WriteDocuments(client, "missed", 3));
  return PromoteOnce(client, "r1", "return-r1");
}

absl::Status LifeCycle::Delete(const Client& client) {
  for (const char* base : {"r2", "r3"}) {
    const std::string name = ReleaseName(base);
    RETURN_IF_ERROR(DeleteOnce(name, [&] { return client.releases.Delete(name); }));
  }
  const std::string job = ledger_->job(TrainRequestId()).name;
  RETURN_IF_ERROR(DeleteOnce(job, [&] { return client.jobs.Delete(job); }));
  const std::string dataset = "datasets/" + Id("pairs");
  RETURN_IF_ERROR(DeleteOnce(dataset, [&] { return client.datasets.Delete(dataset); }));
  return WriteDocuments(client, "last", 5);
}

}  // namespace tandem::test
