#pragma once
// A release as people see it.

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/session.h"
#include "tandem/v1/release.pb.h"

namespace tandem::cli {

std::string DescribeRelease(const v1::Release& release);

// "hnsw m=16 ef_construction=100", with what was set.
std::string DescribeIndex(const v1::IndexSpec& index);

// The evaluations of candidate and live release below each other, and their difference with its interval.
std::string DescribePromotion(const v1::PromoteReleaseResponse& response);

// Follows a release until it is built, with a bar on stderr. With `print_changes`, --json prints every change as a
// line.
absl::StatusOr<v1::Release> WatchBuild(Client& client, Session& session, const std::string& release,
                                       bool print_changes);

// OK unless the release is FAILED.
absl::Status OutcomeOf(const v1::Release& release);

}  // namespace tandem::cli
