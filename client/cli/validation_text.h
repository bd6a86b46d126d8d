#pragma once
// What a validation measured, as text for people.

#include <string>

#include "tandem/v1/types.pb.h"

namespace tandem::cli {

// "nDCG@10 0.8123, recall@10 0.9000, MRR@10 0.7811 (500 queries), alignment 0.4121, uniformity -2.9000"; by the form of
// the examples, "Spearman 0.8411, …" and so on.
std::string DescribeValidation(const v1::ValidationMetrics& metrics);

// The figure by which the best weights are chosen: "nDCG@10 0.8123"; of plain texts the loss.
std::string HeadlineOf(const v1::ValidationMetrics& metrics);

}  // namespace tandem::cli
