#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "index/vector_index.h"
#include "tests/index/index_oracle.h"

namespace tandem {
namespace {

constexpr int kDimensions = 8;

// Readers take snapshots and search while the writer adds, removes, seals and adopts. Each snapshot holds exactly the
// labels in (commit - kWindow, commit], so any mixture of two states shows.
TEST(VectorIndexThreadsTest, SnapshotStaysWhatItWasWhileTheWriterGoesOn) {
  constexpr int64_t kWindow = 500, kLast = 6000;
  for (VectorIndexKind kind : {VectorIndexKind::kFlat, VectorIndexKind::kHnsw}) {
    auto index = *VectorIndex::Create({.dimensions = kDimensions, .metric = VectorMetric::kInnerProduct, .kind = kind});
    std::atomic<bool> done = false;
    std::atomic<int> searches = 0;
    const auto read = [&] {
      const std::vector<float> query(kDimensions, 1);
      while (!done) {
        const auto snapshot = index->snapshot();
        for (int repeat = 0; repeat < 2; ++repeat) {
          const auto hits = snapshot->Search(query, {.k = 10000, .exact = repeat == 0});
          ASSERT_TRUE(hits.ok());
          ASSERT_EQ(static_cast<int64_t>(hits->size()), std::min(snapshot->commit(), kWindow));
          for (size_t i = 0; i < hits->size(); ++i) {
            // All vectors score the same, so hits come by label.
            ASSERT_EQ((*hits)[i].label,
                      std::max<int64_t>(0, snapshot->commit() - kWindow) + 1 + static_cast<int64_t>(i));
          }
        }
        ++searches;
      }
    };
    std::thread first(read), second(read);
    ScratchDirectory scratch;
    const std::vector<float> vectors(10 * kDimensions, 0.5f);
    std::optional<std::filesystem::path> sealed;
    for (int64_t commit = 10; commit <= kLast; commit += 10) {
      std::vector<int64_t> labels, removed;
      for (int64_t label = commit - 9; label <= commit; ++label) {
        labels.push_back(label);
        removed.push_back(label - kWindow);
      }
      ASSERT_TRUE(index->Apply(commit, labels, vectors, removed).ok());
      // Or a busy machine would have written all before the first search.
      while (searches < commit / 500 && !HasFailure()) std::this_thread::yield();
      if (commit % 700 == 0) {
        sealed = scratch.Fresh();
        ASSERT_TRUE(VectorIndex::WriteSealed(*index->snapshot(), index->options(), *sealed, 1).ok());
      } else if (commit % 700 == 300 && sealed.has_value()) {
        ASSERT_TRUE(index->AdoptSealed(*sealed).ok());
      }
    }
    done = true;
    first.join();
    second.join();
  }
}

}  // namespace
}  // namespace tandem
