#pragma once
// What options that are left to the index become, and which parameters each kind has.

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "index/vector_index.h"

namespace tandem {

// As the manifest has it. Reaches disk: do not change.
std::string_view NameOf(VectorIndexKind kind);

bool HasLists(VectorIndexKind kind);

// Lists of an index of so many vectors, at least 1.
int64_t IvfLists(const VectorIndexOptions& options, int64_t vectors);
// Lists that a search visits when it does not say, of `lists`.
int64_t IvfNprobe(const VectorIndexOptions& options, int64_t lists);
// Bytes of a product-quantised code.
int PqSubquantizers(const VectorIndexOptions& options);
// Candidates for each hit when a search does not say; 1 for kinds that score the vectors themselves.
int RerankFactor(const VectorIndexOptions& options);

// INVALID_ARGUMENT naming the parameter and its limits, or the kind that does not have it.
absl::Status CheckParameters(const VectorSearch& search, VectorIndexKind kind);

}  // namespace tandem
