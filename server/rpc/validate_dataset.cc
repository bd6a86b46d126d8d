// Requests of DatasetService.

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "tandem/v1/dataset.pb.h"

namespace tandem {
namespace {

absl::Status ValidatePair(const v1::Pair& pair) {
  RETURN_IF_ERROR(CheckText("pair.anchor", pair.anchor()));
  RETURN_IF_ERROR(CheckCount("pair.positives", pair.positives_size(), 1, kMaxPositives));
  RETURN_IF_ERROR(CheckCount("pair.negatives", pair.negatives_size(), 0, kMaxNegatives));
  for (int i = 0; i < pair.positives_size(); ++i) {
    RETURN_IF_ERROR(CheckText(Path("pair.positives", i), pair.positives(i)));
  }
  for (int i = 0; i < pair.negatives_size(); ++i) {
    RETURN_IF_ERROR(CheckText(Path("pair.negatives", i), pair.negatives(i)));
  }
  // An example fits into a page of ListExamples; only a pair has enough texts to be larger.
  size_t bytes = pair.anchor().size();
  for (const auto* texts : {&pair.positives(), &pair.negatives()}) {
    for (const std::string& text : *texts) bytes += text.size();
  }
  if (bytes <= kMaxExampleBytes) return absl::OkStatus();
  return InvalidField("pair", Concat(bytes, " bytes of text: must have at most ", kMaxExampleBytes));
}

}  // namespace

absl::Status Validate(const v1::CreateDatasetRequest& request) {
  RETURN_IF_ERROR(CheckId("dataset_id", request.dataset_id(), /*optional=*/true));
  RETURN_IF_ERROR(CheckBytes("display_name", request.display_name(), 0, kMaxDisplayNameBytes));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::GetDatasetRequest& request) { return ParseDataset("name", request.name()).status(); }

absl::Status Validate(const v1::ListDatasetsRequest& request) {
  return ParsePage("datasets", request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::DeleteDatasetRequest& request) { return ParseDataset("name", request.name()).status(); }

absl::Status Validate(const v1::AppendExamplesRequest& request, bool first) {
  if (first) {
    RETURN_IF_ERROR(ParseDataset("dataset", request.dataset()).status());
    RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  } else {
    if (!request.dataset().empty()) return InvalidField("dataset", "is for the stream's first message only");
    if (!request.request_id().empty()) return InvalidField("request_id", "is for the stream's first message only");
  }
  RETURN_IF_ERROR(CheckAtLeast("sequence", request.sequence(), 1));
  return CheckCount("examples", request.examples_size(), 1, kMaxExamplesPerMessage);
}

absl::Status Validate(const v1::Example& example) {
  switch (example.kind_case()) {
    case v1::Example::kPair:
      return ValidatePair(example.pair());
    case v1::Example::kScoredPair:
      RETURN_IF_ERROR(CheckText("scored_pair.first", example.scored_pair().first()));
      RETURN_IF_ERROR(CheckText("scored_pair.second", example.scored_pair().second()));
      return CheckFraction("scored_pair.score", example.scored_pair().score());
    case v1::Example::kLabelledPair:
      RETURN_IF_ERROR(CheckText("labelled_pair.first", example.labelled_pair().first()));
      RETURN_IF_ERROR(CheckText("labelled_pair.second", example.labelled_pair().second()));
      if (example.labelled_pair().has_similar()) return absl::OkStatus();
      return InvalidField("labelled_pair.similar", "must be set");
    case v1::Example::kLabelledText:
      RETURN_IF_ERROR(CheckText("labelled_text.text", example.labelled_text().text()));
      return CheckBytes("labelled_text.label", example.labelled_text().label(), 1, kMaxLabelBytes);
    case v1::Example::kText:
      return CheckText("text.text", example.text().text());
    case v1::Example::KIND_NOT_SET:
      break;
  }
  return InvalidField("kind", "one of pair, scored_pair, labelled_pair, labelled_text and text must be set");
}

absl::Status Validate(const v1::ListExamplesRequest& request) {
  RETURN_IF_ERROR(ParseDataset("dataset", request.dataset()).status());
  return ParsePage(Concat(request.dataset(), "/examples"), request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::AnalyzeDatasetRequest& request) {
  RETURN_IF_ERROR(ParseDataset("dataset", request.dataset()).status());
  if (request.has_dataset_commit()) RETURN_IF_ERROR(CheckAtLeast("dataset_commit", request.dataset_commit(), 1));
  if (!request.validation_dataset().empty()) {
    RETURN_IF_ERROR(ParseDataset("validation_dataset", request.validation_dataset()).status());
    if (request.validation_dataset() == request.dataset()) {
      return InvalidField("validation_dataset", "is the dataset that is analysed");
    }
  }
  if (!request.base_revision().empty()) {
    RETURN_IF_ERROR(ParseModelOrRevision("base_revision", request.base_revision()).status());
  }
  if (request.has_max_length()) {
    if (request.base_revision().empty()) {
      return InvalidField("max_length", "is for a request with base_revision, whose tokens it counts");
    }
    RETURN_IF_ERROR(CheckRange("max_length", request.max_length(), 4, kMaxAnalysisLength));
  }
  if (request.has_batch_size()) RETURN_IF_ERROR(CheckRange("batch_size", request.batch_size(), 2, kMaxAnalysisBatch));
  return CheckRequestId(request.request_id());
}

}  // namespace tandem
