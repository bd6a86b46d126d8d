#pragma once
// A job as people see it.

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/session.h"
#include "tandem/v1/job.pb.h"

namespace tandem::cli {

std::string DescribeJob(const v1::Job& job);

// Follows a job to its end with a bar on stderr: step, loss, learning rate, pairs a second, time left, the last
// validation. With `print_events`, --json prints every event as a line. The finished job, which may be FAILED or
// CANCELLED.
absl::StatusOr<v1::Job> WatchWithBar(Client& client, Session& session, const std::string& job, int64_t after_sequence,
                                     bool print_events);

// OK for SUCCEEDED, otherwise why not.
absl::Status OutcomeOf(const v1::Job& job);

}  // namespace tandem::cli
