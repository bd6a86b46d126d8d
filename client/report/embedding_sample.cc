#include "client/report/embedding_sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "absl/strings/string_view.h"

namespace tandem::report {
namespace {

constexpr int kResamples = 1000;
constexpr uint64_t kSeed = 42;

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

SampleFigures Measure(const EmbeddingSample& sample, const Vectors& vectors) {
  SampleFigures figures;
  std::vector<size_t> candidates;  // A text that several pairs end in counts once.
  std::set<absl::string_view> known;
  for (const auto& pair : sample.pairs) {
    if (known.insert(sample.texts[pair.second]).second) candidates.push_back(pair.second);
  }
  for (const auto& [first, second] : sample.pairs) {
    const double own = Cosine(vectors[first], vectors[second]);
    double sum = 0;
    size_t count = 0;
    for (size_t other : candidates) {
      if (sample.texts[other] == sample.texts[second] || sample.texts[other] == sample.texts[first]) continue;
      const double cosine = Cosine(vectors[first], vectors[other]);
      figures.other_cosines.push_back(cosine);
      sum += cosine;
      ++count;
    }
    figures.pair_cosines.push_back(own);
    figures.other_means.push_back(count == 0 ? NAN : sum / static_cast<double>(count));
  }
  return figures;
}

Change CompareMeans(std::string name, const std::vector<double>& before, const std::vector<double>& after) {
  Change change{.name = std::move(name), .before = Mean(before), .after = Mean(after)};
  std::vector<double> differences;
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (size_t k = 0; k < before.size(); ++k) {
      const size_t drawn = random() % before.size();
      sum += after[drawn] - before[drawn];
    }
    differences.push_back(sum / static_cast<double>(before.size()));
  }
  std::sort(differences.begin(), differences.end());
  change.lower = differences[static_cast<size_t>(0.025 * kResamples)];
  change.upper = differences[static_cast<size_t>(0.975 * kResamples) - 1];
  return change;
}

std::vector<Change> CompareSample(const SampleFigures& before, const SampleFigures& after) {
  if (before.pair_cosines.empty()) return {};
  std::vector<Change> changes;
  changes.push_back(CompareMeans("cosine of a pair", before.pair_cosines, after.pair_cosines));
  if (before.other_cosines.empty()) return changes;
  std::vector<double> others_before, others_after, gap_before, gap_after;
  for (size_t i = 0; i < before.pair_cosines.size(); ++i) {
    if (std::isnan(before.other_means[i])) continue;
    others_before.push_back(before.other_means[i]);
    others_after.push_back(after.other_means[i]);
    gap_before.push_back(before.pair_cosines[i] - before.other_means[i]);
    gap_after.push_back(after.pair_cosines[i] - after.other_means[i]);
  }
  changes.push_back(CompareMeans("cosine with a text of another pair", others_before, others_after));
  changes.push_back(CompareMeans(kGap, gap_before, gap_after));
  return changes;
}

}  // namespace tandem::report
