#pragma once
// What the server knows of a release, collected for its page.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client.h"
#include "client/report/release_report.h"

namespace tandem::cli {

// A release with the gate of its collection.
report::ReleaseReport ReportOf(const v1::Release& release, const v1::GatePolicy& gate);

absl::StatusOr<report::ReleaseReport> CollectReleaseReport(const Client& client, absl::string_view release);

}  // namespace tandem::cli
