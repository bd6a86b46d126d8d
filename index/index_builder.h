#pragma once
// Makes the FAISS index of a sealed directory. For one thread; FAISS's own threads are the caller's setting of OpenMP.

#include <cstdint>
#include <memory>
#include <string_view>

#include <faiss/Index.h>

#include "index/vector_index.h"

namespace tandem {

// Of `count` rows of floats that outlive it, ids being row numbers. Takes, beside the links, lists or codes themselves,
// a quarter of the rows' memory for kHnsw and that of 64 rows a list for k-means. Throws what FAISS throws: call within
// FaissGuard.
std::unique_ptr<faiss::Index> BuildFaissIndex(const VectorIndexOptions& options, int64_t count,
                                              std::string_view vectors);

}  // namespace tandem
