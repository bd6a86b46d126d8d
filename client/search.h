#pragma once
// Short work: searching a collection, texts to vectors, and what the server says of itself. Thread-safe.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/connection.h"
#include "tandem/v1/admin.grpc.pb.h"
#include "tandem/v1/embedding.grpc.pb.h"
#include "tandem/v1/search.grpc.pb.h"

namespace tandem {

class Search {
 public:
  explicit Search(std::shared_ptr<const Connection> connection);

  // FAILED_PRECONDITION while the collection has no live release. The collection's name may be short.
  absl::StatusOr<v1::SearchResponse> Query(v1::SearchRequest request) const;
  // One release and one commit for all of them.
  absl::StatusOr<v1::BatchSearchResponse> QueryBatch(v1::BatchSearchRequest request) const;
  // What a user said of a hit. NOT_FOUND when the search is not in the server's log any more.
  absl::Status SendFeedback(const v1::SendFeedbackRequest& request) const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::SearchService::Stub> stub_;
};

class Embeddings {
 public:
  explicit Embeddings(std::shared_ptr<const Connection> connection);

  // The model's name may be short and may leave out the revision.
  absl::StatusOr<v1::EmbedResponse> Embed(v1::EmbedRequest request) const;
  absl::StatusOr<v1::TokenizeResponse> Tokenize(v1::TokenizeRequest request) const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::EmbeddingService::Stub> stub_;
};

class Server {
 public:
  explicit Server(std::shared_ptr<const Connection> connection);

  absl::StatusOr<v1::ServerInfo> Info() const;

 private:
  std::shared_ptr<const Connection> connection_;
  std::shared_ptr<v1::AdminService::Stub> stub_;
};

}  // namespace tandem
