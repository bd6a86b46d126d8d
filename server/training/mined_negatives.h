#pragma once
// The hard negatives that were mined for the examples of a training job, and their file in the job's directory:
//   negatives-<epoch>  "tandem mined negatives 1\n", then little-endian: int64 epoch, uint32 CRC-32C of all texts,
//                      uint32 objectives; of each objective int64 examples and, example by example, int32 count and
//                      so many int32 numbers of texts; at the end uint32 CRC-32C of all before
// It is published by rename, before the first step that learns from it, so that a trainer that is killed and started
// again learns from the same. Do not change the format without a new number: a job may be resumed by a newer binary.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/training/example_file.h"

namespace tandem {

// One list of texts an example, end to end.
struct NegativeLists {
  std::vector<int64_t> offsets = {0};
  std::vector<TextId> texts;

  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }
  void Add(std::span<const TextId> list) {
    texts.insert(texts.end(), list.begin(), list.end());
    offsets.push_back(static_cast<int64_t>(texts.size()));
  }
  std::span<const TextId> of(int64_t example) const {
    const auto i = static_cast<size_t>(example);
    return std::span(texts).subspan(offsets[i], offsets[i + 1] - offsets[i]);
  }
};

// What an objective without mining has: no lists.
using MinedNegatives = std::vector<NegativeLists>;  // Of each objective.

// The numbers of texts hold for one table of texts only.
uint32_t ChecksumOf(const TextTable& texts);

std::filesystem::path MinedNegativesFile(const std::filesystem::path& job_directory, int64_t epoch);

absl::Status SaveMinedNegatives(const std::filesystem::path& file, int64_t epoch, uint32_t texts_checksum,
                                const MinedNegatives& mined);

// NOT_FOUND when there is no file; DATA_LOSS when it is damaged, or of other texts or another epoch.
absl::StatusOr<MinedNegatives> LoadMinedNegatives(const std::filesystem::path& file, int64_t epoch,
                                                  uint32_t texts_checksum);

// Removes the files of the epochs before `epoch`.
absl::Status RemoveMinedNegativesBefore(const std::filesystem::path& job_directory, int64_t epoch);

// The positives of each anchor text of a set, in all of its examples.
class KnownPositives {
 public:
  explicit KnownPositives(const ExampleSet& set);

  // By number, each once; empty for a text that is no anchor.
  std::span<const TextId> of(TextId anchor) const;

 private:
  std::vector<int64_t> offsets_;  // By the number of the text.
  std::vector<TextId> texts_;
};

// Of the mined negatives of a batch's examples, those that each of them trains on where a loss holds an anchor against
// all documents of the batch: a text that the batch has already is left out, since it is there for every anchor, and so
// is a positive of one of the batch's anchors, which would be pushed away from it.
std::vector<std::vector<TextId>> NegativesForBatch(std::span<const int32_t> batch, const ExampleSet& set,
                                                   const KnownPositives& positives, const NegativeLists& mined);

}  // namespace tandem
