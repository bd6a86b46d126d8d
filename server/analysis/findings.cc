#include "server/analysis/findings.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "server/base/strings.h"
#include "server/storage/records.h"

namespace tandem {
namespace {

constexpr double kTruncatedShare = 0.01;  // More is a warning.
constexpr double kImbalance = 10;         // Largest class over smallest.
constexpr double kOneSidedShare = 0.05;   // Of the rarer kind of labelled pairs.

class Findings {
 public:
  void Add(Severity severity, const char* kind, const Counted& counted, std::string advice) {
    if (counted.count == 0) return;
    findings_.push_back({severity, kind, counted.count, counted.commits, std::move(advice)});
  }

  std::vector<Finding> Take() {
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
    return std::move(findings_);
  }

 private:
  std::vector<Finding> findings_;
};

// "1 anchor is", "312 anchors are"
std::string Many(int64_t count, const char* one, const char* many) {
  return Concat(count, " ", count == 1 ? one : many);
}

void AddForms(const DatasetReport& report, int64_t batch_size, Findings& findings) {
  const int64_t forms = std::count_if(report.forms.begin(), report.forms.end(), [](int64_t n) { return n > 0; });
  if (forms > 1) {
    findings.Add(Severity::kError, "forms", {forms, {}},
                 Concat("The examples are of ", forms,
                        " forms: a loss takes one, so make a dataset of each form and an "
                        "objective of each dataset."));
  }
  if (report.rows < batch_size) {
    findings.Add(Severity::kWarning, "rows", {batch_size - report.rows, {}},
                 Concat("There are ", Many(report.rows, "row", "rows"), ", fewer than a batch of ", batch_size,
                        ": add examples or lower batch_size."));
  }
}

void AddRepetitions(const DatasetReport& report, int64_t batch_size, Findings& findings) {
  const int64_t exact = report.exact_duplicates.count, folded = report.folded_duplicates.count;
  findings.Add(Severity::kWarning, "exact_duplicates", report.exact_duplicates,
               Concat(Many(exact, "example repeats", "examples repeat"),
                      " an earlier one, which counts double in training: leave repeated examples out."));
  findings.Add(Severity::kNote, "folded_duplicates", report.folded_duplicates,
               Concat(Many(folded, "example repeats", "examples repeat"),
                      " an earlier one but for case and white space: normalise the texts and leave repetitions out."));
  const std::string expected =
      report.false_negatives < 0.005
          ? std::string()
          : absl::StrFormat(
                " (about %.2f documents of a plain batch of %d rows are taken for negatives though they are "
                "positives)",
                report.false_negatives, batch_size);
  findings.Add(Severity::kWarning, "several_positives", report.several_positives,
               Concat(Many(report.several_positives.count, "anchor occurs", "anchors occur"), " in several pairs",
                      expected, ": use batch_sampler NO_DUPLICATES, or info_nce.several_positives."));
  findings.Add(Severity::kWarning, "shared_positives", report.shared_positives,
               Concat(Many(report.shared_positives.count, "text is", "texts are"), " the positive of several pairs",
                      expected, ": use batch_sampler NO_DUPLICATES."));
  findings.Add(Severity::kNote, "anchors_as_positives", report.anchors_as_positives,
               Concat(Many(report.anchors_as_positives.count, "text is an anchor", "texts are anchors"),
                      " in one pair and a positive in another: batch_sampler NO_DUPLICATES keeps them apart."));
  findings.Add(Severity::kWarning, "equal_to_anchor", report.equal_to_anchor,
               Concat(Many(report.equal_to_anchor.count, "positive is", "positives are"),
                      " the anchor itself and teaches nothing: leave such pairs out."));
}

void AddContradictions(const DatasetReport& report, Findings& findings) {
  findings.Add(Severity::kError, "contradictions", report.contradictions,
               Concat(Many(report.contradictions.count, "pair of texts is", "pairs of texts are"),
                      " both positive and negative: decide which, and delete the other."));
  findings.Add(Severity::kWarning, "conflicting_scores", report.conflicting_scores,
               Concat(Many(report.conflicting_scores.count, "pair of texts has", "pairs of texts have"),
                      " scores more than a fifth of the range apart: replace them by their mean."));
  findings.Add(Severity::kError, "conflicting_labels", report.conflicting_labels,
               Concat(Many(report.conflicting_labels.count, "text has", "texts have"),
                      " several labels: keep one label for each text."));
}

void AddValidation(const DatasetReport& report, Findings& findings) {
  findings.Add(Severity::kError, "shared_anchors", report.shared_anchors,
               Concat(Many(report.shared_anchors.count, "first text is", "first texts are"),
                      " in training and in validation, which then measures what was learnt by heart: delete them from "
                      "one of the two."));
  // What is shared as a first text was said above.
  if (report.shared_texts.count > report.shared_anchors.count) {
    findings.Add(Severity::kWarning, "shared_texts", report.shared_texts,
                 Concat(Many(report.shared_texts.count, "text is", "texts are"),
                        " in training and in validation: usual when both search one corpus, else delete them from one "
                        "of the two."));
  }
}

void AddLengths(const std::optional<TextLengths>& lengths, const char* kind, const char* which, int64_t max_length,
                Findings& findings) {
  if (!lengths) return;
  const double share = static_cast<double>(lengths->truncated.count) / static_cast<double>(lengths->texts);
  findings.Add(share > kTruncatedShare ? Severity::kWarning : Severity::kNote, kind, lengths->truncated,
               absl::StrFormat("%s of the %s (%.1f%%) are longer than %d tokens and are cut: a max_length of %d, "
                               "if the model has as many positions, takes 99%% whole; or split long texts.",
                               std::to_string(lengths->truncated.count), which, 100 * share, max_length,
                               lengths->percentile_99));
}

void AddBalance(const DatasetReport& report, Findings& findings) {
  if (report.labels) {
    const LabelBalance& labels = *report.labels;
    findings.Add(Severity::kWarning, "labels", {labels.single_texts, {}},
                 Concat(Many(labels.single_texts, "class has", "classes have"),
                        " one text only, of which no pair can be made: add texts or leave the class out."));
    if (labels.classes == 1) {
      findings.Add(Severity::kError, "labels", {1, {}},
                   "All texts have one label, and there is nothing to tell apart: add texts of other classes.");
    } else if (static_cast<double>(labels.largest_size) > kImbalance * static_cast<double>(labels.smallest_size)) {
      findings.Add(Severity::kNote, "labels", {labels.classes, {}},
                   Concat("The largest class, \"", labels.largest, "\", has ", labels.largest_size,
                          " texts and the smallest, \"", labels.smallest, "\", ", labels.smallest_size,
                          ": use batch_sampler BALANCED."));
    }
  }
  if (report.scores && report.scores->lowest == report.scores->highest) {
    findings.Add(Severity::kError, "scores", {report.forms[static_cast<size_t>(ExampleKind::kScoredPair)], {}},
                 "All scores are equal, and there is no order to learn: add pairs with other scores.");
  }
  const int64_t labelled = report.similar + report.dissimilar, rarer = std::min(report.similar, report.dissimilar);
  if (labelled > 0 && static_cast<double>(rarer) < kOneSidedShare * static_cast<double>(labelled)) {
    const char* const which = report.similar < report.dissimilar ? "similar" : "dissimilar";
    findings.Add(rarer == 0 ? Severity::kError : Severity::kWarning, which, {labelled, {}},
                 Concat("Only ", rarer, " of ", labelled, " labelled pairs are ", which, ": add pairs of that kind."));
  }
}

}  // namespace

std::vector<Finding> FindingsOf(const DatasetReport& report, int64_t batch_size, int64_t max_length) {
  Findings findings;
  AddForms(report, batch_size, findings);
  AddRepetitions(report, batch_size, findings);
  AddContradictions(report, findings);
  AddValidation(report, findings);
  AddLengths(report.first_lengths, "first_lengths", "first texts", max_length, findings);
  AddLengths(report.second_lengths, "second_lengths", "positives and negatives", max_length, findings);
  AddBalance(report, findings);
  return findings.Take();
}

}  // namespace tandem
