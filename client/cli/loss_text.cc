#include "client/cli/loss_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/option_text.h"
#include "client/error.h"

namespace tandem::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const google::protobuf::OneofDescriptor& Kinds() { return *v1::Loss::descriptor()->FindOneofByName("kind"); }

std::vector<std::string> LossNames() {
  std::vector<std::string> names;
  for (int i = 0; i < Kinds().field_count(); ++i) names.push_back(Kinds().field(i)->name());
  return names;
}

absl::StatusOr<v1::Loss> MakeLoss(absl::string_view name, absl::string_view options) {
  const FieldDescriptor* const kind = v1::Loss::descriptor()->FindFieldByName(FieldNameOf(name));
  if (kind == nullptr || kind->containing_oneof() != &Kinds()) {
    return BadInput("loss", absl::StrCat("'", name, "' is none of ", absl::StrJoin(LossNames(), ", ")));
  }
  v1::Loss loss;
  Message* const message = loss.GetReflection()->MutableMessage(&loss, kind);
  if (options.empty()) return loss;
  const absl::Status status = SetOptions(options, message);
  if (!status.ok()) return Annotate(status, absl::StrCat("loss ", kind->name()));
  return loss;
}

}  // namespace

absl::StatusOr<v1::Loss> ParseLoss(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  return MakeLoss(parts.first, parts.second);
}

absl::StatusOr<v1::Objective> ParseObjective(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() < 2 || parts.size() > 4) {
    return BadInput("objective", absl::StrCat("'", text, "' is not DATASET[@COMMIT]:LOSS[:OPTIONS][:WEIGHT]"));
  }
  v1::Objective objective;
  double weight = 0;
  if (parts.size() > 2 && absl::SimpleAtod(parts.back(), &weight)) {
    objective.set_weight(weight);
    parts.pop_back();
  }
  if (parts.size() > 3) return BadInput("objective", absl::StrCat("weight '", parts.back(), "' is no number"));
  const std::pair<absl::string_view, absl::string_view> dataset = absl::StrSplit(parts[0], absl::MaxSplits('@', 1));
  objective.set_dataset(std::string(dataset.first));
  if (absl::StrContains(parts[0], '@')) {
    int64_t commit = 0;
    if (!absl::SimpleAtoi(dataset.second, &commit)) {
      return BadInput("objective", absl::StrCat("commit '", dataset.second, "' is no whole number"));
    }
    objective.set_dataset_commit(commit);
  }
  absl::StatusOr<v1::Loss> loss = MakeLoss(parts[1], parts.size() > 2 ? parts[2] : "");
  if (!loss.ok()) return loss.status();
  *objective.mutable_loss() = *std::move(loss);
  return objective;
}

absl::StatusOr<v1::Matryoshka> ParseMatryoshka(absl::string_view text) {
  v1::Matryoshka matryoshka;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    int32_t dimension = 0;
    if (!absl::SimpleAtoi(parts.first, &dimension)) {
      return BadInput("matryoshka", absl::StrCat("'", parts.first, "' is no number of dimensions"));
    }
    matryoshka.add_dimensions(dimension);
    if (!absl::StrContains(entry, '=')) continue;
    float weight = 0;
    if (!absl::SimpleAtof(parts.second, &weight)) {
      return BadInput("matryoshka", absl::StrCat("weight '", parts.second, "' is no number"));
    }
    matryoshka.add_weights(weight);
  }
  return matryoshka;
}

std::string DescribeLosses() {
  std::string lines;
  for (int i = 0; i < Kinds().field_count(); ++i) {
    const Descriptor& type = *Kinds().field(i)->message_type();
    std::vector<std::string> options;
    for (int f = 0; f < type.field_count(); ++f) options.push_back(DescribeOption(*type.field(f)));
    absl::StrAppend(&lines, "  ", Kinds().field(i)->name(), options.empty() ? "" : ":", absl::StrJoin(options, ","),
                    "\n");
  }
  return lines;
}

}  // namespace tandem::cli
