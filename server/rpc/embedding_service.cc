#include "server/rpc/embedding_service.h"

#include <memory>
#include <span>
#include <vector>

#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "server/rpc/checks.h"
#include "server/rpc/encodings.h"
#include "server/rpc/model_names.h"

namespace tandem {

EmbeddingService::EmbeddingService(const Rooms& rooms) : RpcService("EmbeddingService", rooms.pool), rooms_(rooms) {
  Unary("Embed", &EmbeddingService::Embed);
  TwoWayStream("EmbedStream", &EmbeddingService::EmbedStream);
  Unary("Tokenize", &EmbeddingService::Tokenize);
}

absl::StatusOr<EmbeddingService::LoadedModel> EmbeddingService::Load(const Call& call, const std::string& model) {
  ASSIGN_OR_RETURN(const RevisionName name, ResolveRevision(rooms_.meta, call.tenant, "model", model));
  ASSIGN_OR_RETURN(auto encoder, rooms_.models->Get(ModelRevisionDirectory(rooms_.data_directory, call.tenant,
                                                                           name.model, name.revision)));
  return LoadedModel{RevisionNameOf(name.model, name.revision), std::move(encoder)};
}

absl::Status EmbeddingService::EmbedTexts(const Call& call, const v1::EmbedRequest& request, EmbeddingPriority priority,
                                          v1::EmbedResponse* response) {
  ASSIGN_OR_RETURN(const LoadedModel model, Load(call, request.model()));
  const std::vector<std::string> texts(request.texts().begin(), request.texts().end());
  ASSIGN_OR_RETURN(
      const EmbeddedTexts embedded,
      rooms_.embeddings->Embed(model.encoder, texts, static_cast<InputRole>(request.role()), priority, call.deadline));
  response->set_model_revision(model.name);
  const auto dimensions = static_cast<size_t>(model.encoder->contract().dimensions);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (request.refuse_truncation() && embedded.truncated[i]) {
      return InvalidField(tandem::Path("texts", static_cast<int>(i)),
                          Concat(embedded.token_counts[i], " tokens: the model reads at most ",
                                 model.encoder->contract().max_length, ", and refuse_truncation is set"));
    }
    v1::Embedding* out = response->add_embeddings();
    EncodeVector(std::span(embedded.vectors).subspan(i * dimensions, dimensions), request.encoding(),
                 out->mutable_vector());
    out->set_token_count(embedded.token_counts[i]);
    out->set_truncated(embedded.truncated[i]);
  }
  return absl::OkStatus();
}

absl::Status EmbeddingService::Embed(const Call& call, const v1::EmbedRequest& request, v1::EmbedResponse* response) {
  return EmbedTexts(call, request, EmbeddingPriority::kInteractive, response);
}

absl::Status EmbeddingService::EmbedStream(const Call& call, MessageStream* stream) {
  v1::EmbedRequest request;
  while (stream->Read(&request)) {
    RETURN_IF_ERROR(Validate(request));
    v1::EmbedResponse response;
    RETURN_IF_ERROR(EmbedTexts(call, request, EmbeddingPriority::kBulk, &response));
    if (!stream->Write(response)) break;
  }
  return stream->status();
}

absl::Status EmbeddingService::Tokenize(const Call& call, const v1::TokenizeRequest& request,
                                        v1::TokenizeResponse* response) {
  ASSIGN_OR_RETURN(const LoadedModel model, Load(call, request.model()));
  const std::vector<std::string> texts(request.texts().begin(), request.texts().end());
  ASSIGN_OR_RETURN(const auto tokenized, model.encoder->Tokenize(texts, static_cast<InputRole>(request.role())));
  response->set_model_revision(model.name);
  for (const TokenizedText& text : tokenized) {
    v1::TokenizeResponse::Tokens* out = response->add_texts();
    out->mutable_ids()->Add(text.ids.begin(), text.ids.end());
    out->set_token_count(text.token_count);
    out->set_truncated(text.truncated);
  }
  return absl::OkStatus();
}

}  // namespace tandem
