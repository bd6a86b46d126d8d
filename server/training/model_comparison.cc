#include "server/training/model_comparison.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "server/base/similarity_metrics.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int64_t kMostResamples = 10'000, kFewestResamples = 1'000;
constexpr int64_t kMostDraws = 200'000'000;  // A few seconds of them.

using Values = std::span<const double>;

std::string TextsOfTwo(const std::string& first, const std::string& second) {
  constexpr std::string_view kBetween = " ↔ ";
  constexpr size_t kBytes = (kMostQueryChangeBytes - kBetween.size()) / 2;
  return Concat(CutText(first, kBytes), kBetween, CutText(second, kBytes));
}

// Of each value the share of the others that are lower, equal ones counting half.
std::vector<double> SharesBelow(Values values) {
  std::vector<double> shares = AverageRanks(values);
  const double others = static_cast<double>(values.size()) - 1;
  for (double& share : shares) share = others > 0 ? (share - 1) / others : 0;
  return shares;
}

std::vector<double> RankAgreement(Values cosines, Values scores) {
  std::vector<double> agreement = SharesBelow(cosines);
  const std::vector<double> wanted = SharesBelow(scores);
  for (size_t i = 0; i < agreement.size(); ++i) agreement[i] = 1 - std::abs(agreement[i] - wanted[i]);
  return agreement;
}

// Of each pair the share of the pairs of the other kind on the right side of it; 1 when there are none.
std::vector<double> RightSide(Values cosines, std::span<const char> similar) {
  std::vector<double> of_kind[2];
  for (size_t i = 0; i < cosines.size(); ++i) of_kind[similar[i] ? 1 : 0].push_back(cosines[i]);
  for (std::vector<double>& sorted : of_kind) std::sort(sorted.begin(), sorted.end());
  std::vector<double> shares;
  for (size_t i = 0; i < cosines.size(); ++i) {
    const std::vector<double>& others = of_kind[similar[i] ? 0 : 1];
    const auto [equal, above] = std::equal_range(others.begin(), others.end(), cosines[i]);
    const double size = static_cast<double>(others.size());
    const double below =
        (static_cast<double>(equal - others.begin()) + static_cast<double>(above - others.begin())) / 2;
    shares.push_back(others.empty() ? 1 : (similar[i] ? below : size - below) / size);
  }
  return shares;
}

// The outcomes of one validation by name; empty when they are not there or not of all items.
Values OutcomesOf(const ValidationOutcomes& outcomes, const char* name, size_t items) {
  const auto found = outcomes.values.find(name);
  return found != outcomes.values.end() && found->second.size() == items ? Values(found->second) : Values();
}

class Comparer {
 public:
  Comparer(const ValidationItems& items, const ValidationOutcomes& before, const ValidationOutcomes& after,
           TrainingComparison& out)
      : items_(items), before_(before), after_(after), out_(out) {
    const int64_t size = std::max<int64_t>(1, static_cast<int64_t>(items.texts.size()));
    options_.resamples = static_cast<int>(std::clamp(kMostDraws / size, kFewestResamples, kMostResamples));
  }

  void Run() {
    switch (items_.form) {
      case ExampleForm::kPair:
        for (const char* name : {"ndcg_at_10", "recall_at_10", "mrr_at_10", "recall_at_1", "map"}) AddMeans(name);
        return;
      case ExampleForm::kLabelledText:
        AddMeans("knn_accuracy");
        return;
      case ExampleForm::kScoredPair:
        if (!Find("cosine")) return;
        Add("spearman", CompareSpearman(from_, to_, items_.scores, options_));
        Add("pearson", ComparePearson(from_, to_, items_.scores, options_));
        AddChanges(RankAgreement(from_, items_.scores), RankAgreement(to_, items_.scores));
        return;
      case ExampleForm::kLabelledPair:
        if (!Find("cosine")) return;
        Add("average_precision", CompareAveragePrecision(from_, to_, items_.similar, options_));
        AddChanges(RightSide(from_, items_.similar), RightSide(to_, items_.similar));
        return;
      case ExampleForm::kText:
        return;
    }
  }

 private:
  bool Find(const char* name) {
    from_ = OutcomesOf(before_, name, items_.texts.size());
    to_ = OutcomesOf(after_, name, items_.texts.size());
    return !from_.empty() && !to_.empty();
  }

  void Add(const char* name, const ComparedFigure& figure) { out_.metrics.push_back({name, figure}); }

  void AddChanges(Values before, Values after) {
    out_.changes = LargestChanges(before, after, [&](size_t i) -> std::string_view { return items_.texts[i]; });
  }

  void AddMeans(const char* name) {
    if (!Find(name)) return;
    Add(name, CompareMeans(from_, to_, options_));
    if (out_.metrics.size() == 1) AddChanges(from_, to_);
  }

  const ValidationItems& items_;
  const ValidationOutcomes& before_;
  const ValidationOutcomes& after_;
  TrainingComparison& out_;
  BootstrapOptions options_;
  Values from_, to_;  // Outcomes of the two.
};

}  // namespace

ValidationItems ItemsOf(const ExampleSet& set, const TextTable& table) {
  ValidationItems items{.form = set.form};
  const std::vector<std::string>& texts = table.texts();
  std::set<TextId> seen;
  for (const TrainingExample& example : set.examples) {
    const std::string& first = texts[static_cast<size_t>(example.anchor)];
    switch (set.form) {
      case ExampleForm::kPair:
        if (seen.insert(example.anchor).second) items.texts.push_back(CutText(first, kMostQueryChangeBytes));
        break;
      case ExampleForm::kScoredPair:
        items.scores.push_back(example.score);
        items.texts.push_back(TextsOfTwo(first, texts[static_cast<size_t>(example.positives[0])]));
        break;
      case ExampleForm::kLabelledPair:
        items.similar.push_back(example.similar ? 1 : 0);
        items.texts.push_back(TextsOfTwo(first, texts[static_cast<size_t>(example.positives[0])]));
        break;
      case ExampleForm::kLabelledText:
        items.texts.push_back(CutText(first, kMostQueryChangeBytes));
        break;
      case ExampleForm::kText:
        break;
    }
  }
  return items;
}

TrainingComparison Compare(const ValidationItems& items, const ValidationOutcomes& before,
                           const ValidationOutcomes& after, int64_t step) {
  TrainingComparison comparison{.step = step, .before = before.result, .after = after.result};
  Comparer(items, before, after, comparison).Run();
  return comparison;
}

}  // namespace tandem
