#include "server/rpc/search_service.h"

#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/rpc/checks.h"
#include "server/rpc/convert.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"

namespace tandem {
namespace {

template <class Request>
SearchTerms TermsOf(const Call& call, const Request& request) {
  SearchTerms terms{.patience = {call.deadline, call.gone}, .max_reply_bytes = kMaxReplyBytes};
  if (request.has_min_commit()) terms.min_commit = request.min_commit();
  return terms;
}

// Searcher leaves the place of a single query out of the path; min_commit belongs to the batch, not to the query.
absl::Status AsFirstSearch(const absl::Status& status) {
  return FieldPath(status) == "min_commit" ? status : PrefixField("searches[0]", status);
}

// What feedback may name later.
void Log(const Call& call, const std::string& collection, const v1::SearchRequest& request, const SearchAnswer& answer,
         Feedback* feedback) {
  if (!request.has_text() || !feedback->Logs(call.tenant, collection)) return;
  LoggedSearch search{.tenant = call.tenant,
                      .collection = collection,
                      .search_id = answer.search_id,
                      .time = absl::Now(),
                      .query = request.text()};
  for (const SearchHit& hit : answer.hits) search.hits.push_back({hit.document.commit, hit.id});
  feedback->Record(std::move(search));
}

}  // namespace

SearchService::SearchService(const Rooms& rooms) : RpcService("SearchService", rooms.pool), rooms_(rooms) {
  Unary("Search", &SearchService::Search, &SearchService::MustWait<v1::SearchRequest>);
  Unary("BatchSearch", &SearchService::BatchSearch, &SearchService::MustWait<v1::BatchSearchRequest>);
  Unary("SendFeedback", &SearchService::SendFeedback);
}

// What is wrong with the request is left to the call itself.
template <class Request>
bool SearchService::MustWait(const Call& call, const Request& request) {
  if (!request.has_min_commit()) return false;
  const auto collection = ParseCollection("collection", request.collection());
  if (!collection.ok()) return false;
  const Patience none{.deadline = absl::InfinitePast()};
  return absl::IsDeadlineExceeded(
      rooms_.collections->LiveAt(call.tenant, *collection, request.min_commit(), none).status());
}

absl::Status SearchService::Search(const Call& call, const v1::SearchRequest& request, v1::SearchResponse* response) {
  ASSIGN_OR_RETURN(const std::string collection, ParseCollection("collection", request.collection()));
  ASSIGN_OR_RETURN(SearchQuery query, FromProto(request));
  ASSIGN_OR_RETURN(const SearchAnswers answers,
                   rooms_.searcher->Search(call.tenant, collection, {std::move(query)}, TermsOf(call, request)));
  Log(call, collection, request, answers.answers[0], rooms_.feedback);
  ToProto(collection, answers, answers.answers[0], request, response);
  return absl::OkStatus();
}

absl::Status SearchService::BatchSearch(const Call& call, const v1::BatchSearchRequest& request,
                                        v1::BatchSearchResponse* response) {
  ASSIGN_OR_RETURN(const std::string collection, ParseCollection("collection", request.collection()));
  std::vector<SearchQuery> queries;
  for (int i = 0; i < request.searches_size(); ++i) {
    auto query = FromProto(request.searches(i));
    if (!query.ok()) return PrefixField(tandem::Path("searches", i), query.status());
    queries.push_back(*std::move(query));
  }
  auto answers = rooms_.searcher->Search(call.tenant, collection, queries, TermsOf(call, request));
  if (!answers.ok()) return queries.size() == 1 ? AsFirstSearch(answers.status()) : answers.status();
  for (int i = 0; i < request.searches_size(); ++i) {
    Log(call, collection, request.searches(i), answers->answers[i], rooms_.feedback);
    ToProto(collection, *answers, answers->answers[i], request.searches(i), response->add_responses());
  }
  return absl::OkStatus();
}

absl::Status SearchService::SendFeedback(const Call& call, const v1::SendFeedbackRequest& request,
                                         google::protobuf::Empty*) {
  const bool relevant = request.judgement() == v1::SendFeedbackRequest::RELEVANT;
  return rooms_.feedback->Judge(call.tenant, request.search_id(), request.document(), relevant);
}

}  // namespace tandem
