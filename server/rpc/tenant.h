#pragma once
// The namespace that a call works in. One place, so that API keys can decide it.

#include <string>

#include <grpcpp/server_context.h>

namespace tandem {

inline std::string TenantOf(const grpc::CallbackServerContext&) { return "default"; }

}  // namespace tandem
