#pragma once
// [torch] The only place of tandem that catches LibTorch's exceptions.
//
//   return GuardTorch("embed", [&]() -> absl::StatusOr<std::vector<float>> { ... });

#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include <c10/util/Exception.h>

#include "absl/status/status.h"
#include "server/base/strings.h"

namespace tandem {

// Runs `work`, which returns a Status or StatusOr. RESOURCE_EXHAUSTED when memory ran out, otherwise INTERNAL; the
// message begins with `what` and has no stack trace.
template <typename Work>
auto GuardTorch(std::string_view what, Work&& work) -> decltype(work()) {
  try {
    return std::forward<Work>(work)();
  } catch (const c10::Error& error) {
    const std::string_view message = error.what_without_backtrace();
    const bool memory = message.find("can't allocate memory") != std::string_view::npos;
    return absl::Status(memory ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
                        Concat(what, ": ", message));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(Concat(what, ": out of memory"));
  } catch (const std::exception& error) {
    return absl::InternalError(Concat(what, ": ", error.what()));
  }
}

}  // namespace tandem
