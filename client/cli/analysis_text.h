#pragma once
// The analysis of a dataset as people read it on a terminal.

#include <cstdint>
#include <string>

#include "google/protobuf/repeated_field.h"
#include "tandem/v1/analysis.pb.h"

namespace tandem::cli {

// What was analysed, counts, lengths and balance as bars of text, then the findings, gravest first. Ends in "\n".
std::string DescribeAnalysis(const v1::DatasetAnalysis& analysis);

// "1 error, 3 warnings, 2 notes", or "no findings".
std::string CountFindings(const v1::DatasetAnalysis& analysis);

// "commits 3, 8, 21", or nothing.
std::string DescribeCommits(const google::protobuf::RepeatedField<int64_t>& commits);

}  // namespace tandem::cli
