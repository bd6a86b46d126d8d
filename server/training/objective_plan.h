#pragma once
// Which objectives learn at which step, and from which of their batches. Everything follows from (seed, epoch,
// position), which is the whole state of a run between two steps.
//
// Each objective has an endless stream of batches of its own: its sampler's epochs end to end. With b_i the size of the
// sampler's epoch e, and w_i the weight of the objective:
//   kProportional  epoch e has sum b_i steps. Objective i takes a share of them in proportion to w_i b_i (largest
//                  remainder, at least one step), in an order that is shuffled by (seed, e). Each step has one
//                  objective.
//   kSum           epoch e has max b_i steps. Each step takes the next batch of every objective.
// A stream goes on in the next epoch where it stopped, so that with weights no example is left out for ever. With one
// objective both are the epochs of its sampler.

#include <cstdint>
#include <span>
#include <vector>

#include "server/base/job_directory.h"
#include "server/training/sampler.h"

namespace tandem {

// The batches of all epochs of a sampler, numbered from 0. REQUIRES: the first epoch has a batch; then every one has.
class BatchStream {
 public:
  explicit BatchStream(Sampler sampler);

  int64_t EpochSize(int64_t epoch);

  // Indices of examples; valid until the next call.
  std::span<const int32_t> Batch(int64_t number);

 private:
  void Load(int64_t epoch);

  Sampler sampler_;
  std::vector<int64_t> starts_ = {0};  // Number of the first batch of each epoch that was counted, then of the next.
  int64_t epoch_ = -1;                 // Of batches_.
  EpochBatches batches_;
};

struct ObjectiveBatch {
  int objective = 0;
  std::span<const int32_t> examples;  // By their index in the objective's set.
};

class ObjectivePlan {
 public:
  // One sampler an objective of the options, each with a batch in its first epoch.
  ObjectivePlan(std::vector<Sampler> samplers, const TrainerOptions& options);

  // Of all epochs, or max_steps if that is less.
  int64_t TotalSteps();

  // The step that is next, by its epoch and its place therein; begins at (0, 0).
  void GoTo(int64_t epoch, int64_t position);
  void Advance();
  int64_t epoch() const { return epoch_; }
  int64_t position() const { return position_; }
  // Epochs done once that step is done: 1.5 in the middle of the second.
  double EpochAfterStep() const;

  // Valid until the next call of any method.
  std::vector<ObjectiveBatch> Batches();

 private:
  // Steps that each objective takes in an epoch.
  std::vector<int64_t> Shares(int64_t epoch);
  int64_t Steps(std::span<const int64_t> shares) const;
  void EnterEpoch();

  std::vector<BatchStream> streams_;
  std::vector<double> weights_;
  const Mixing mixing_;
  const int epochs_;
  const int64_t max_steps_;
  const uint64_t seed_;

  int64_t epoch_ = 0, position_ = 0;
  int64_t steps_ = 0;              // Of epoch_.
  std::vector<int64_t> first_;     // Of each objective, the number of its first batch in epoch_.
  std::vector<uint8_t> sequence_;  // kProportional: the objective of each step of epoch_.
};

}  // namespace tandem
