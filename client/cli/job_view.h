#pragma once
// A job as people see it.

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/session.h"
#include "tandem/v1/job.pb.h"

namespace tandem::cli {

std::string DescribeJob(const v1::Job& job);      // With its result.
std::string SummarizeResult(const v1::Job& job);  // For a list.

// Follows a job to its end with a bar on stderr: step, loss, learning rate, pairs a second, time left, the last
// validation. With `print_events`, --json prints every event as a line. The finished job, which may be FAILED or
// CANCELLED. A training that was compared with its base ends with that comparison on stdout, unless --json is given.
absl::StatusOr<v1::Job> WatchWithBar(Client& client, Session& session, const std::string& job, int64_t after_sequence,
                                     bool print_events);

// OK for SUCCEEDED, otherwise why not.
absl::Status OutcomeOf(const v1::Job& job);

// What a command does with a job that it has started: with `watch` follows it to its end and shows it, else shows it
// and how to follow it. The status is the job's outcome.
absl::Status FollowJob(Client& client, Session& session, const v1::Job& job, bool watch);

}  // namespace tandem::cli
