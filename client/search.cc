#include "client/search.h"

#include <utility>

#include "client/names.h"

namespace tandem {

Search::Search(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::SearchService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::SearchResponse> Search::Query(v1::SearchRequest request) const {
  request.set_collection(CollectionName(request.collection()));
  return connection_->Call(*stub_, &v1::SearchService::Stub::Search, std::move(request));
}

absl::StatusOr<v1::BatchSearchResponse> Search::QueryBatch(v1::BatchSearchRequest request) const {
  request.set_collection(CollectionName(request.collection()));
  return connection_->Call(*stub_, &v1::SearchService::Stub::BatchSearch, std::move(request));
}

// Repeating it is no harm: the same judgement counts once.
absl::Status Search::SendFeedback(const v1::SendFeedbackRequest& request) const {
  return connection_->Call(*stub_, &v1::SearchService::Stub::SendFeedback, request).status();
}

Embeddings::Embeddings(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::EmbeddingService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::EmbedResponse> Embeddings::Embed(v1::EmbedRequest request) const {
  request.set_model(ModelOrRevisionName(request.model()));
  return connection_->Call(*stub_, &v1::EmbeddingService::Stub::Embed, std::move(request));
}

absl::StatusOr<v1::TokenizeResponse> Embeddings::Tokenize(v1::TokenizeRequest request) const {
  request.set_model(ModelOrRevisionName(request.model()));
  return connection_->Call(*stub_, &v1::EmbeddingService::Stub::Tokenize, std::move(request));
}

Server::Server(std::shared_ptr<const Connection> connection)
    : connection_(std::move(connection)), stub_(v1::AdminService::NewStub(connection_->channel())) {}

absl::StatusOr<v1::ServerInfo> Server::Info() const {
  return connection_->Call(*stub_, &v1::AdminService::Stub::GetServerInfo, v1::GetServerInfoRequest());
}

}  // namespace tandem
