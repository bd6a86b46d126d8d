// The steps of a life cycle that its phases share; each is done once, however often it is called.

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "tests/e2e/life_cycle.h"

namespace tandem::test {
namespace {

constexpr char kCollection[] = "collections/docs";

}  // namespace

absl::Status LifeCycle::CreateRelease(const Client& client, std::string_view base, const std::string& revision,
                                      bool hnsw) {
  const std::string name = ReleaseName(base);
  const std::string mark = absl::StrCat("built ", name);
  if (ledger_->IsDone(mark)) return absl::OkStatus();
  ledger_->AttemptRelease(name, revision);
  v1::CreateReleaseRequest create;
  create.set_collection(kCollection);
  create.set_release_id(Id(base));
  create.set_model_revision(revision);
  create.set_request_id(absl::StrCat("create-", Id(base)));
  if (hnsw) create.mutable_index()->mutable_hnsw()->set_ef_search(10'000);  // At these sizes as exact as FLAT.
  RETURN_IF_ERROR(client.releases.Create(create).status());
  ledger_->Acknowledge(name);
  ASSIGN_OR_RETURN(const v1::Release built, client.releases.Watch(name, nullptr));
  if (built.state() == v1::Release::FAILED)
    return absl::InternalError(absl::StrCat(name, ": ", built.error().message()));
  ledger_->MarkDone(mark);
  return absl::OkStatus();
}

absl::Status LifeCycle::PromoteOnce(const Client& client, std::string_view base, const std::string& mark) {
  if (ledger_->IsDone(Id(mark))) return absl::OkStatus();
  ledger_->AttemptPromotion(Id(base));
  v1::PromoteReleaseRequest request;
  request.set_name(ReleaseName(base));
  request.set_request_id(Id(mark));
  ASSIGN_OR_RETURN(const v1::PromoteReleaseResponse response, client.releases.Promote(request));
  ledger_->AcknowledgePromotion(Id(base));
  ledger_->MarkDone(Id(mark));
  if (response.release().state() != v1::Release::LIVE) {
    return absl::InternalError(
        absl::StrCat(request.name(), " was promoted and is ", v1::Release::State_Name(response.release().state())));
  }
  return SearchHead(client);
}

absl::Status LifeCycle::WriteDocuments(const Client& client, const std::string& mark, int calls) {
  for (int i = 0; i < calls; ++i) RETURN_IF_ERROR(WriteOnce(client, Id(absl::StrCat(mark, ".", i))));
  return absl::OkStatus();
}

// What a call writes follows from its mark, so that one that was not acknowledged can be repeated as it was.
absl::Status LifeCycle::WriteOnce(const Client& client, const std::string& mark) {
  if (ledger_->IsDone(mark)) return absl::OkStatus();
  std::seed_seq sequence(mark.begin(), mark.end());
  std::mt19937 random(sequence);
  const bool deletes = random() % 5 == 0;
  const uint32_t count = 1 + random() % (deletes ? 4 : 16);
  std::vector<Ledger::Write> writes;
  std::vector<std::string> ids;
  std::vector<v1::Document> documents;
  for (const uint32_t first = random(); writes.size() < count;) {
    const uint32_t number =
        (first + static_cast<uint32_t>(writes.size()) * 7) % static_cast<uint32_t>(2 * options_.documents);
    const std::string id = absl::StrCat("d", number);
    writes.push_back({id, deletes ? "" : TextOf(options_.seed, 3'000'000 + random())});
    ids.push_back(id);
    v1::Document& document = documents.emplace_back();
    document.set_id(id);
    document.set_text(writes.back().text);
  }
  ledger_->AttemptWrites(writes);
  int64_t commit = 0;
  if (deletes) {
    ASSIGN_OR_RETURN(const v1::DeleteDocumentsResponse response, client.collections.DeleteDocuments(kCollection, ids));
    commit = response.commit();
  } else {
    ASSIGN_OR_RETURN(commit, client.collections.Upsert(kCollection, documents, mark));
  }
  ledger_->AcknowledgeWrites(writes, commit);
  ledger_->MarkDone(mark);
  return absl::OkStatus();
}

absl::Status LifeCycle::WaitRetired(const Client& client, std::string_view base, const std::string& mark) {
  if (ledger_->IsDone(Id(mark))) return absl::OkStatus();
  const absl::Time limit = absl::Now() + options_.rollback_window + absl::Seconds(20);
  while (true) {
    ASSIGN_OR_RETURN(const v1::Release release, client.releases.Get(ReleaseName(base)));
    if (release.state() == v1::Release::RETIRED) break;
    if (absl::Now() > limit) {
      return absl::InternalError(absl::StrCat(release.name(), " is ", v1::Release::State_Name(release.state()),
                                              " long after the rollback window of ",
                                              absl::FormatDuration(options_.rollback_window)));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  ledger_->MarkDone(Id(mark));
  return absl::OkStatus();
}

absl::Status LifeCycle::DeleteOnce(const std::string& name, const std::function<absl::Status()>& call) {
  const std::string mark = absl::StrCat("deleted ", name);
  if (ledger_->IsDone(mark)) return absl::OkStatus();
  const std::string attempted = absl::StrCat("deleting ", name);
  const bool again = ledger_->IsDone(attempted);
  ledger_->MarkDone(attempted);
  ledger_->Attempt(name, /*there=*/false);
  const absl::Status status = call();
  if (!status.ok() && !(again && absl::IsNotFound(status))) return status;
  ledger_->Acknowledge(name, /*there=*/false);
  ledger_->MarkDone(mark);
  return absl::OkStatus();
}

absl::Status LifeCycle::SearchHead(const Client& client) {
  const int64_t head = ledger_->head_commit();
  v1::SearchRequest request;
  request.set_collection(kCollection);
  request.set_text(TextOf(options_.seed, 4'000'000 + static_cast<uint64_t>(head)));
  request.set_min_commit(head);
  const std::string live = ledger_->live();
  ASSIGN_OR_RETURN(const v1::SearchResponse response, client.search.Query(request));
  const SearchAnswer answer = AnswerOf(request, response);
  if (options_.on_answer) options_.on_answer(answer);
  if (response.commit() < head || response.release() != absl::StrCat(kCollection, "/releases/", live)) {
    return absl::InternalError(absl::StrCat("a search with min_commit ", head, " while ", live, " is live came from ",
                                            response.release(), " at commit ", response.commit()));
  }
  return absl::OkStatus();
}

std::filesystem::path DocumentsDatabase(const std::filesystem::path& data_directory) {
  return data_directory / "collections" / "default" / kCollectionId / "documents.db";
}

AnswerOracle::Embed EmbedBy(const std::string& address) {
  return [client = ConnectWithoutPatience(address)](
             const std::string& revision, const std::vector<std::string>& texts,
             AnswerOracle::Role role) -> absl::StatusOr<std::vector<std::vector<float>>> {
    v1::EmbedRequest request;
    request.set_model(revision);
    request.set_role(role == AnswerOracle::Role::kQuery ? v1::QUERY : v1::DOCUMENT);
    for (const std::string& text : texts) request.add_texts(text);
    ASSIGN_OR_RETURN(const v1::EmbedResponse response, client.embeddings.Embed(request));
    std::vector<std::vector<float>> vectors;
    for (const v1::Embedding& embedding : response.embeddings()) {
      vectors.emplace_back(embedding.vector().values().begin(), embedding.vector().values().end());
    }
    return vectors;
  };
}

SearchAnswer AnswerOf(const v1::SearchRequest& request, const v1::SearchResponse& response) {
  SearchAnswer answer{.release = response.release(),
                      .commit = response.commit(),
                      .query = request.text(),
                      .top_k = request.has_top_k() ? request.top_k() : 10};
  for (const v1::Hit& hit : response.hits()) {
    answer.hits.push_back({.id = hit.id(), .score = hit.score(), .text = hit.document().text()});
  }
  return answer;
}

}  // namespace tandem::test
