#pragma once
// Turns the error strings of hf.h into statuses.

#include <string_view>

#include "absl/status/status.h"
#include "server/base/strings.h"
#include "server/encoder/hf/hf.h"

namespace tandem {

// Frees `error`. OK when it is NULL.
inline absl::Status HfStatus(absl::StatusCode code, std::string_view what, char* error) {
  if (error == nullptr) return absl::OkStatus();
  absl::Status status(code, Concat(what, ": ", error));
  tandem_hf_free_error(error);
  return status;
}

}  // namespace tandem
