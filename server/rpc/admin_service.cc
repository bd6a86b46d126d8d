#include "server/rpc/admin_service.h"

#include "server/rpc/convert.h"
#include "server/rpc/limits.h"

namespace tandem {

AdminService::AdminService(const Rooms& rooms) : RpcService("AdminService", rooms.pool), rooms_(rooms) {
  Unary("GetServerInfo", &AdminService::GetServerInfo);
  Unary("CreateApiKey", &AdminService::CreateApiKey);
  Unary("ListApiKeys", &AdminService::ListApiKeys);
  Unary("DeleteApiKey", &AdminService::DeleteApiKey);
}

absl::Status AdminService::GetServerInfo(const Call&, const v1::GetServerInfoRequest&, v1::ServerInfo* response) {
  response->set_version(rooms_.version);
  ToProto(rooms_.start_time, response->mutable_start_time());
  v1::ServerInfo::Limits* limits = response->mutable_limits();
  limits->set_max_message_bytes(kMaxMessageBytes);
  limits->set_max_texts(kMaxTexts);
  limits->set_max_text_bytes(kMaxTextBytes);
  limits->set_max_top_k(kMaxTopK);
  limits->set_max_documents_per_message(kMaxDocumentsPerMessage);
  limits->set_max_examples_per_message(kMaxExamplesPerMessage);
  limits->set_max_evaluation_queries(kMaxEvaluationQueries);
  limits->set_max_queued_calls(rooms_.pool->max_queued());
  response->mutable_memory()->set_budget_bytes(rooms_.memory->total());
  response->mutable_memory()->set_used_bytes(rooms_.memory->used());
  for (const MemoryUse& use : rooms_.memory->List()) {
    v1::ServerInfo::Use* out = response->mutable_memory()->add_uses();
    out->set_name(use.what);
    out->set_bytes(use.bytes);
  }
  response->mutable_libraries()->insert(rooms_.libraries.begin(), rooms_.libraries.end());
  return absl::OkStatus();
}

absl::Status AdminService::CreateApiKey(const Call&, const v1::CreateApiKeyRequest&, v1::CreateApiKeyResponse*) {
  return absl::UnimplementedError("CreateApiKey: this server has no API keys; every call works in one namespace");
}

absl::Status AdminService::ListApiKeys(const Call&, const v1::ListApiKeysRequest&, v1::ListApiKeysResponse*) {
  return absl::UnimplementedError("ListApiKeys: this server has no API keys; every call works in one namespace");
}

absl::Status AdminService::DeleteApiKey(const Call&, const v1::DeleteApiKeyRequest&, google::protobuf::Empty*) {
  return absl::UnimplementedError("DeleteApiKey: this server has no API keys; every call works in one namespace");
}

}  // namespace tandem
