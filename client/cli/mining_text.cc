#include "client/cli/mining_text.h"

#include <google/protobuf/descriptor.h>

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/option_text.h"
#include "client/error.h"

namespace tandem::cli {
namespace {

// The options in the order of the message, ranks for its two.
std::vector<std::string> Options() {
  std::vector<std::string> options;
  const google::protobuf::Descriptor& type = *v1::NegativeMining::descriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->number() == v1::NegativeMining::kMinRankFieldNumber) options.push_back("ranks=FIRST-LAST");
    if (!absl::EndsWith(type.field(i)->name(), "_rank")) options.push_back(DescribeOption(*type.field(i)));
  }
  options.push_back("refresh=EPOCHS");
  return options;
}

absl::Status SetOne(absl::string_view name, absl::string_view value, v1::MiningDuringTraining* mining) {
  const std::string field = FieldNameOf(name);
  if (field == "ranks") return SetRanks(value, mining->mutable_options());
  if (field == "refresh") return SetOption("refresh_epochs", value, mining);
  const auto* const known = v1::NegativeMining::descriptor()->FindFieldByName(field);
  if (known == nullptr || absl::EndsWith(field, "_rank")) {
    return absl::InvalidArgumentError(
        absl::StrCat("no option '", name, "'; there is ", absl::StrJoin(Options(), ", ")));
  }
  return SetOption(field, value, mining->mutable_options());
}

}  // namespace

absl::Status SetRanks(absl::string_view text, v1::NegativeMining* mining) {
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(text, absl::MaxSplits('-', 1));
  int32_t first = 1, last = 0;
  const bool parsed = absl::StrContains(text, '-')
                          ? absl::SimpleAtoi(ends.first, &first) && absl::SimpleAtoi(ends.second, &last)
                          : absl::SimpleAtoi(text, &last);
  if (!parsed) return BadInput("ranks", absl::StrCat("'", text, "' is not FIRST-LAST, as 10-100, or LAST"));
  mining->set_min_rank(first);
  mining->set_max_rank(last);
  return absl::OkStatus();
}

absl::StatusOr<v1::MiningDuringTraining> ParseMining(absl::string_view text) {
  v1::MiningDuringTraining mining;
  for (const absl::string_view option : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(option, absl::MaxSplits('=', 1));
    const absl::Status set = SetOne(parts.first, parts.second, &mining);
    if (!set.ok()) return Annotate(set, "mine");
  }
  return mining;
}

std::string DescribeMining() { return absl::StrJoin(Options(), ","); }

}  // namespace tandem::cli
