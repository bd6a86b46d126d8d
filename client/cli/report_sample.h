#pragma once
// Texts that a training read, embedded with the model before it and the one after.

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/report/embedding_sample.h"

namespace tandem::cli {

// Texts and pairs of examples of one form; examples of another form than the first are left out. Pairs give their first
// positive, scored pairs belong together from a score of 0.5 on, labelled texts are paired with the next of their
// class.
report::EmbeddingSample SampleOf(const std::vector<v1::Example>& examples);

// Up to `texts` (at least 1) evenly spread ones of the validation dataset of `job` when it has one, else of the first
// dataset that `revision` was trained on, as far as it was. Datasets are read up to their 100,000th example.
absl::StatusOr<report::EmbeddingSample> CollectSample(const Client& client, const v1::Job& job,
                                                      const v1::ModelRevision& revision, size_t texts);

}  // namespace tandem::cli
