#include "server/training/objective_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "server/base/random.h"

namespace tandem {
namespace {

// Apart from the numbers that shuffle the examples of the same epoch.
constexpr uint64_t kMixingSalt = 0x6d6978696e67;

// `steps` shared out in proportion to the claims by largest remainder (ties: the first), at least 1 each. REQUIRES:
// there are at least as many steps as claims, which are positive.
std::vector<int64_t> ShareOut(std::span<const double> claims, int64_t steps) {
  const double total = std::accumulate(claims.begin(), claims.end(), 0.0);
  std::vector<int64_t> shares(claims.size());
  std::vector<double> remainders(claims.size());
  for (size_t i = 0; i < claims.size(); ++i) {
    const double quota = static_cast<double>(steps) * (claims[i] / total);
    shares[i] = static_cast<int64_t>(std::floor(quota));
    remainders[i] = quota - std::floor(quota);
  }
  std::vector<size_t> by_remainder(claims.size());
  std::iota(by_remainder.begin(), by_remainder.end(), 0);
  std::ranges::stable_sort(by_remainder, [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  const int64_t left = steps - std::accumulate(shares.begin(), shares.end(), int64_t{0});
  for (int64_t i = 0; i < left; ++i) ++shares[by_remainder[static_cast<size_t>(i)]];
  for (int64_t& share : shares) {
    if (share > 0) continue;
    --*std::ranges::max_element(shares);
    share = 1;
  }
  return shares;
}

}  // namespace

BatchStream::BatchStream(Sampler sampler) : sampler_(std::move(sampler)) {}

void BatchStream::Load(int64_t epoch) {
  if (epoch_ == epoch) return;
  batches_ = sampler_.Epoch(epoch);
  epoch_ = epoch;
}

int64_t BatchStream::EpochSize(int64_t epoch) {
  while (static_cast<int64_t>(starts_.size()) <= epoch + 1) {
    if (starts_.size() > 1 && sampler_.SameSizeEachEpoch()) {
      starts_.push_back(starts_.back() + starts_[1]);
      continue;
    }
    Load(static_cast<int64_t>(starts_.size()) - 1);
    starts_.push_back(starts_.back() + batches_.size());
  }
  return starts_[static_cast<size_t>(epoch) + 1] - starts_[static_cast<size_t>(epoch)];
}

std::span<const int32_t> BatchStream::Batch(int64_t number) {
  while (starts_.back() <= number) EpochSize(static_cast<int64_t>(starts_.size()) - 1);
  const int64_t epoch = std::ranges::upper_bound(starts_, number) - starts_.begin() - 1;
  Load(epoch);
  return batches_.batch(number - starts_[static_cast<size_t>(epoch)]);
}

ObjectivePlan::ObjectivePlan(std::vector<Sampler> samplers, const TrainerOptions& options)
    : mixing_(options.mixing),
      epochs_(options.epochs),
      max_steps_(options.max_steps.value_or(std::numeric_limits<int64_t>::max())),
      seed_(static_cast<uint64_t>(options.seed)) {
  for (Sampler& sampler : samplers) streams_.emplace_back(std::move(sampler));
  for (const ObjectiveOptions& objective : options.objectives) weights_.push_back(objective.weight);
  GoTo(0, 0);
}

std::vector<int64_t> ObjectivePlan::Shares(int64_t epoch) {
  std::vector<int64_t> sizes;
  for (BatchStream& stream : streams_) sizes.push_back(stream.EpochSize(epoch));
  switch (mixing_) {
    case Mixing::kSum:
      return std::vector<int64_t>(streams_.size(), *std::ranges::max_element(sizes));
    case Mixing::kProportional: {
      std::vector<double> claims;
      for (size_t i = 0; i < sizes.size(); ++i) claims.push_back(weights_[i] * static_cast<double>(sizes[i]));
      return ShareOut(claims, std::accumulate(sizes.begin(), sizes.end(), int64_t{0}));
    }
  }
  __builtin_unreachable();
}

int64_t ObjectivePlan::Steps(std::span<const int64_t> shares) const {
  return mixing_ == Mixing::kSum ? shares[0] : std::accumulate(shares.begin(), shares.end(), int64_t{0});
}

int64_t ObjectivePlan::TotalSteps() {
  int64_t steps = 0;
  for (int64_t epoch = 0; epoch < epochs_ && steps < max_steps_; ++epoch) steps += Steps(Shares(epoch));
  return std::min(max_steps_, steps);
}

void ObjectivePlan::GoTo(int64_t epoch, int64_t position) {
  first_.assign(streams_.size(), 0);
  for (epoch_ = 0; epoch_ < epoch; ++epoch_) {
    const std::vector<int64_t> shares = Shares(epoch_);
    for (size_t i = 0; i < first_.size(); ++i) first_[i] += shares[i];
  }
  position_ = position;
  EnterEpoch();
}

void ObjectivePlan::EnterEpoch() {
  const std::vector<int64_t> shares = Shares(epoch_);
  steps_ = Steps(shares);
  sequence_.clear();
  if (mixing_ == Mixing::kSum) return;
  for (size_t i = 0; i < shares.size(); ++i) {
    sequence_.insert(sequence_.end(), static_cast<size_t>(shares[i]), static_cast<uint8_t>(i));
  }
  SplitMix64 random(MixBits(seed_ ^ kMixingSalt) ^ MixBits(~static_cast<uint64_t>(epoch_)));
  Shuffle(sequence_, random);
}

void ObjectivePlan::Advance() {
  if (++position_ < steps_) return;
  const std::vector<int64_t> shares = Shares(epoch_);
  for (size_t i = 0; i < first_.size(); ++i) first_[i] += shares[i];
  ++epoch_;
  position_ = 0;
  EnterEpoch();
}

double ObjectivePlan::EpochAfterStep() const {
  return static_cast<double>(epoch_) + static_cast<double>(position_ + 1) / static_cast<double>(steps_);
}

std::vector<ObjectiveBatch> ObjectivePlan::Batches() {
  std::vector<ObjectiveBatch> batches;
  if (mixing_ == Mixing::kSum) {
    for (size_t i = 0; i < streams_.size(); ++i) {
      batches.push_back({static_cast<int>(i), streams_[i].Batch(first_[i] + position_)});
    }
    return batches;
  }
  const uint8_t objective = sequence_[static_cast<size_t>(position_)];
  const int64_t before = std::count(sequence_.begin(), sequence_.begin() + position_, objective);
  batches.push_back({objective, streams_[objective].Batch(first_[objective] + before)});
  return batches;
}

}  // namespace tandem
