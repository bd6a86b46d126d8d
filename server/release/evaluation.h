#pragma once
// How well a release retrieves: the queries of an evaluation set, embedded by the release's own encoder as QUERY,
// searched in its index at one snapshot, judged by document id; and how much of the exact answer its index finds.

#include <atomic>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/encoder/embedding_queue.h"
#include "server/release/collections.h"
#include "server/release/gate.h"
#include "server/storage/document_store.h"
#include "server/storage/records.h"

namespace tandem {

// Measures `release` at `snapshot`, a state of its index. `queries` may be empty (`evaluation_set` is, too): then only
// the index's recall is measured, on stored vectors. Blocks the caller for as long as embedding and searching takes, at
// bulk priority; DEADLINE_EXCEEDED or CANCELLED when the patience is over before that is done, CANCELLED once `stop` is
// true.
absl::StatusOr<MeasuredRelease> Evaluate(const ActiveRelease& release, const IndexSnapshot& snapshot,
                                         DocumentStore* documents, EmbeddingQueue* queue,
                                         std::string_view evaluation_set, std::span<const EvaluationQuery> queries,
                                         const Patience& patience, const std::atomic<bool>& stop);

}  // namespace tandem
