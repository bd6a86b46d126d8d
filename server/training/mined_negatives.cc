#include "server/training/mined_negatives.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "absl/strings/numbers.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr std::string_view kFormat = "tandem mined negatives 1\n";
static_assert(std::endian::native == std::endian::little);

template <typename Number>
void Put(std::string& out, Number number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// Takes numbers from the front of bytes; the first that is not there, or is out of its range, fails all after it.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  Number Take(int64_t least, int64_t most) {
    Number number{};
    if (bytes_.size() < sizeof(number)) ok_ = false;
    if (!ok_) return 0;
    std::memcpy(&number, bytes_.data(), sizeof(number));
    bytes_.remove_prefix(sizeof(number));
    ok_ = static_cast<int64_t>(number) >= least && static_cast<int64_t>(number) <= most;
    return ok_ ? number : 0;
  }

  bool ok() const { return ok_; }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

NegativeLists TakeLists(Taker& taker) {
  NegativeLists lists;
  const auto examples = taker.Take<int64_t>(0, static_cast<int64_t>(taker.left() / sizeof(int32_t)));
  for (int64_t i = 0; i < examples && taker.ok(); ++i) {
    const auto count = taker.Take<int32_t>(0, static_cast<int64_t>(taker.left() / sizeof(int32_t)));
    for (int32_t k = 0; k < count; ++k) lists.texts.push_back(taker.Take<int32_t>(0, INT32_MAX));
    lists.offsets.push_back(static_cast<int64_t>(lists.texts.size()));
  }
  return lists;
}

}  // namespace

uint32_t ChecksumOf(const TextTable& texts) {
  uint32_t checksum = 0;
  for (const std::string& text : texts.texts()) {
    // With its terminating null: where a text ends counts.
    checksum = ExtendCrc32c(checksum, std::string_view(text.c_str(), text.size() + 1));
  }
  return checksum;
}

std::filesystem::path MinedNegativesFile(const std::filesystem::path& job_directory, int64_t epoch) {
  return job_directory / Concat(kNegativesPrefix, epoch);
}

absl::Status SaveMinedNegatives(const std::filesystem::path& file, int64_t epoch, uint32_t texts_checksum,
                                const MinedNegatives& mined) {
  std::string bytes(kFormat);
  Put(bytes, epoch);
  Put(bytes, texts_checksum);
  Put(bytes, static_cast<uint32_t>(mined.size()));
  for (const NegativeLists& lists : mined) {
    Put(bytes, lists.size());
    for (int64_t i = 0; i < lists.size(); ++i) {
      Put(bytes, static_cast<int32_t>(lists.of(i).size()));
      for (const TextId text : lists.of(i)) Put(bytes, text);
    }
  }
  Put(bytes, Crc32c(bytes));
  return WriteFileDurably(file, bytes);
}

absl::StatusOr<MinedNegatives> LoadMinedNegatives(const std::filesystem::path& file, int64_t epoch,
                                                  uint32_t texts_checksum) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file));
  const auto fault = [&](std::string_view what) { return absl::DataLossError(Concat(file.string(), ": ", what)); };
  uint32_t checksum = 0;
  if (bytes.size() < kFormat.size() + sizeof(checksum) || !bytes.starts_with(kFormat)) {
    return fault("no mined negatives of format 1");
  }
  const std::string_view content = std::string_view(bytes).substr(0, bytes.size() - sizeof(checksum));
  std::memcpy(&checksum, bytes.data() + content.size(), sizeof(checksum));
  if (Crc32c(content) != checksum) return fault("the checksum is wrong");
  Taker taker(content.substr(kFormat.size()));
  if (taker.Take<int64_t>(0, INT64_MAX) != epoch) return fault(Concat("not of epoch ", epoch));
  if (taker.Take<uint32_t>(0, UINT32_MAX) != texts_checksum) return fault("of other texts");
  MinedNegatives mined(taker.Take<uint32_t>(1, kMostObjectives));
  for (NegativeLists& lists : mined) lists = TakeLists(taker);
  if (!taker.ok() || taker.left() > 0) return fault("not of the length that it says");
  return mined;
}

absl::Status RemoveMinedNegativesBefore(const std::filesystem::path& job_directory, int64_t epoch) {
  std::vector<std::filesystem::path> old;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(job_directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    int64_t number = 0;
    if (name.starts_with(kNegativesPrefix) && absl::SimpleAtoi(name.substr(sizeof(kNegativesPrefix) - 1), &number) &&
        number < epoch) {
      old.push_back(entry->path());
    }
  }
  if (error) return absl::InternalError(Concat(job_directory.string(), ": ", error.message()));
  for (const std::filesystem::path& path : old) RETURN_IF_ERROR(RemoveTree(path));
  return absl::OkStatus();
}

KnownPositives::KnownPositives(const ExampleSet& set) {
  std::vector<std::pair<TextId, TextId>> pairs;
  for (const TrainingExample& example : set.examples) {
    for (const TextId text : example.positives) pairs.emplace_back(example.anchor, text);
  }
  std::ranges::sort(pairs);
  const auto repeated = std::ranges::unique(pairs);
  pairs.erase(repeated.begin(), repeated.end());
  const size_t anchors = pairs.empty() ? 0 : static_cast<size_t>(pairs.back().first) + 1;
  offsets_.assign(anchors + 1, 0);
  for (const auto& [anchor, text] : pairs) {
    ++offsets_[static_cast<size_t>(anchor) + 1];
    texts_.push_back(text);
  }
  for (size_t i = 1; i < offsets_.size(); ++i) offsets_[i] += offsets_[i - 1];
}

std::span<const TextId> KnownPositives::of(TextId anchor) const {
  const auto i = static_cast<size_t>(anchor);
  if (i + 1 >= offsets_.size()) return {};
  return std::span(texts_).subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

std::vector<std::vector<TextId>> NegativesForBatch(std::span<const int32_t> batch, const ExampleSet& set,
                                                   const KnownPositives& positives, const NegativeLists& mined) {
  std::unordered_set<TextId> left_out;
  for (const int32_t i : batch) {
    const TrainingExample& example = set.examples[static_cast<size_t>(i)];
    ForEachText(example, [&](TextId text) { left_out.insert(text); });
    for (const TextId text : positives.of(example.anchor)) left_out.insert(text);
  }
  std::vector<std::vector<TextId>> negatives;
  for (const int32_t i : batch) {
    std::vector<TextId>& own = negatives.emplace_back();
    for (const TextId text : mined.of(i)) {
      if (left_out.insert(text).second) own.push_back(text);
    }
  }
  return negatives;
}

}  // namespace tandem
