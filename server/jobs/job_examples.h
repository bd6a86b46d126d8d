#pragma once
// The examples of a training job on their way from the store to the job's directory: read page by page, checked against
// the loss, counted.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/loss_options.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct ExampleSource {
  std::string field;  // Of the request, for errors.
  std::string tenant, dataset;
  int64_t up_to = 0;                  // Commit.
  const LossOptions* loss = nullptr;  // That trains on them; null: they are validated on, and any form will do.
  bool mined = false;                 // Training mines negatives: an example needs none of its own.
};

// Calls `visit` for each example up to the commit, in order, until that returns an error, and returns it. Reads the
// store page by page.
absl::Status VisitExamples(MetaStore* store, const std::string& tenant, const DatasetCommit& up_to,
                           const std::function<absl::Status(const StoredExample&)>& visit);

struct ExampleCounts {
  ExampleForm form = ExampleForm::kPair;
  int64_t examples = 0;  // That the trainer makes of them, see ExamplesMadeOf.
};

// Calls `visit` for each example in order. INVALID_ARGUMENT on the field, with the commit of the first example at
// fault: one of a form that the loss does not take or that others before it do not have, one without negatives for
// explicit triplets; or with what there is too little of: a second example, classes with two texts.
absl::StatusOr<ExampleCounts> ReadExamples(MetaStore* store, const ExampleSource& source,
                                           const std::function<void(const Example&)>& visit);

// InfoNCE may: then an example with several positives stays one.
bool TakesPositivesTogether(const LossOptions& loss);

// How many examples the trainer makes of a stored one: a pair with several positives becomes one for each, unless the
// loss takes them together or looks at the anchor alone.
int64_t ExamplesMadeOf(const Example& example, const LossOptions& loss);

// The example as a line of examples-<i>.jsonl, "\n" included.
std::string LineOf(const Example& example);

}  // namespace tandem
