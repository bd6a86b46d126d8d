#pragma once
// The one place where FAISS's exceptions end.

#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include <faiss/impl/FaissException.h>

#include "absl/status/status.h"
#include "server/base/strings.h"

namespace tandem {

// Runs `call` and turns what it throws into a status that begins with `what`: RESOURCE_EXHAUSTED when memory is gone,
// INTERNAL otherwise.
template <typename Call>
absl::Status FaissGuard(std::string_view what, Call&& call) {
  try {
    std::forward<Call>(call)();
    return absl::OkStatus();
  } catch (const faiss::FaissException& e) {
    return absl::InternalError(Concat(what, ": FAISS: ", e.msg));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(Concat(what, ": out of memory"));
  } catch (const std::exception& e) {
    return absl::InternalError(Concat(what, ": ", e.what()));
  }
}

}  // namespace tandem
