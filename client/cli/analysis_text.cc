#include "client/cli/analysis_text.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/cli/display_width.h"
#include "client/cli/format.h"
#include "client/cli/table.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

using Analysis = v1::DatasetAnalysis;

constexpr int kBarColumns = 40;
constexpr int kTextColumns = 100;

// The largest count has kBarColumns; the least that is not nothing is seen.
std::string Bar(int64_t count, int64_t most) {
  if (count == 0) return "";
  const double share = static_cast<double>(count) / static_cast<double>(most);
  std::string bar;
  for (int64_t i = 0; i < std::max<int64_t>(1, std::llround(kBarColumns * share)); ++i) bar += "█";
  return bar;
}

// Lines of at most kTextColumns columns; all but the first begin with `indent` spaces, for which the first has room.
std::string Wrap(absl::string_view text, int indent) {
  std::string result;
  int column = indent;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const int width = DisplayWidth(word);
    if (column > indent && column + 1 + width > kTextColumns) {
      absl::StrAppend(&result, "\n", std::string(static_cast<size_t>(indent), ' '));
      column = indent;
    }
    const bool first = column == indent;
    absl::StrAppend(&result, first ? "" : " ", word);
    column += width + (first ? 0 : 1);
  }
  return result;
}

std::string DescribeSource(const std::string& dataset, int64_t commit) {
  return dataset.empty() ? "" : absl::StrCat(ShortName(dataset), " up to commit ", FormatCount(commit));
}

std::string DescribeForms(const Analysis::FormCounts& forms) {
  std::vector<std::string> parts;
  const auto add = [&](int64_t count, const char* name) {
    if (count > 0) parts.push_back(absl::StrCat(FormatCount(count), " ", name));
  };
  add(forms.pairs(), "pairs");
  add(forms.scored_pairs(), "scored pairs");
  add(forms.labelled_pairs(), "labelled pairs");
  add(forms.labelled_texts(), "labelled texts");
  add(forms.texts(), "texts");
  return absl::StrJoin(parts, ", ");
}

std::string DescribeSubject(const Analysis& analysis) {
  const std::string lengths =
      analysis.base_revision().empty()
          ? "left out: no model was named"
          : absl::StrCat("in tokens of ", ShortName(analysis.base_revision()), ", cut at ", analysis.max_length());
  return RenderFields({{"dataset", DescribeSource(analysis.dataset(), analysis.dataset_commit())},
                       {"validation", DescribeSource(analysis.validation_dataset(), analysis.validation_commit())},
                       {"lengths", lengths},
                       {"batch size", FormatCount(analysis.batch_size())},
                       {"examples", DescribeForms(analysis.forms())},
                       {"texts", absl::StrCat(FormatCount(analysis.texts()), ", ",
                                              FormatCount(analysis.distinct_texts()), " distinct")}});
}

// What is not there is left out, but for what everybody wants to know.
std::string DescribeCounts(const Analysis& analysis) {
  Table table({{"WHAT"}, {"COUNT", Table::kRight}, {"WHERE"}});
  const auto add = [&](const char* what, const Analysis::Counted& counted, bool always = false) {
    if (counted.count() == 0 && !always) return;
    table.AddRow({what, FormatCount(counted.count()), DescribeCommits(counted.commits())});
  };
  table.AddRow({"rows: an anchor with one of its positives", FormatCount(analysis.rows()), ""});
  add("examples that repeat an earlier one", analysis.exact_duplicates(), true);
  add("examples that repeat one but for case and space", analysis.folded_duplicates(), true);
  add("rows that repeat the two texts of another", analysis.repeated_pairs());
  add("anchors of several rows", analysis.several_positives());
  add("positives of several rows", analysis.shared_positives());
  add("texts that are anchor here and positive there", analysis.anchors_as_positives());
  add("positives that are their own anchor", analysis.equal_to_anchor());
  add("pairs of texts both similar and not", analysis.contradictions());
  add("pairs of texts with scores far apart", analysis.conflicting_scores());
  add("texts with several labels", analysis.conflicting_labels());
  if (!analysis.validation_dataset().empty()) {
    table.AddRow({"examples of the validation", FormatCount(analysis.validation_examples()), ""});
    add("first texts that are in the validation too", analysis.shared_anchors(), true);
    add("texts that are in the validation too", analysis.shared_texts(), true);
  }
  std::string text = table.Render();
  if (analysis.false_negatives() >= 0.005) {
    absl::StrAppendFormat(&text, "false negatives to expect in a batch of %d drawn at random: %.2f\n",
                          analysis.batch_size(), analysis.false_negatives());
  }
  return text;
}

std::string DescribeLengths(const char* which, const Analysis::TextLengths& lengths, int max_length) {
  std::string text =
      absl::StrFormat("\nlengths of %s: mean %.1f tokens, half up to %s, 90%% up to %s, 99%% up to %s, longest %s\n",
                      which, lengths.mean(), FormatCount(lengths.median()), FormatCount(lengths.percentile_90()),
                      FormatCount(lengths.percentile_99()), FormatCount(lengths.longest()));
  absl::StrAppend(&text, "longer than ", max_length, ": ", FormatCount(lengths.truncated().count()), " of ",
                  FormatCount(lengths.texts()), "\n");
  int64_t most = 1;
  for (int64_t count : lengths.histogram()) most = std::max(most, count);
  Table table({{"TOKENS", Table::kRight}, {"TEXTS", Table::kRight}, {""}});
  bool begun = false;
  for (int i = 0; i < lengths.histogram_size(); ++i) {
    const int64_t high = int64_t{1} << i, low = i == 0 ? 0 : high / 2 + 1, count = lengths.histogram(i);
    begun |= count > 0;
    if (!begun) continue;  // Shorter than the shortest.
    table.AddRow({low == high ? FormatCount(high) : absl::StrCat(FormatCount(low), " to ", FormatCount(high)),
                  FormatCount(count), Bar(count, most)});
  }
  return text + table.Render();
}

std::string DescribeLabels(const Analysis::LabelBalance& labels) {
  const double most = std::log2(std::max<double>(1, static_cast<double>(labels.classes())));
  return "\n" + RenderFields(
                    {{"classes", FormatCount(labels.classes())},
                     {"largest", absl::StrCat(labels.largest(), ", ", FormatCount(labels.largest_size()), " texts")},
                     {"smallest", absl::StrCat(labels.smallest(), ", ", FormatCount(labels.smallest_size()), " texts")},
                     {"of one text", FormatCount(labels.single_texts())},
                     {"entropy", absl::StrFormat("%.2f bits of at most %.2f", labels.entropy(), most)}});
}

std::string DescribeScores(const Analysis::ScoreDistribution& scores) {
  int64_t most = 1;
  for (int64_t count : scores.histogram()) most = std::max(most, count);
  const double width = (scores.highest() - scores.lowest()) / std::max(1, scores.histogram_size());
  Table table({{"SCORE", Table::kRight}, {"PAIRS", Table::kRight}, {""}});
  for (int i = 0; i < scores.histogram_size(); ++i) {
    const double low = scores.lowest() + width * i;
    table.AddRow({absl::StrFormat("%.2f to %.2f", low, low + width), FormatCount(scores.histogram(i)),
                  Bar(scores.histogram(i), most)});
  }
  return absl::StrFormat("\nscores: mean %.3f\n", scores.mean()) + table.Render();
}

std::string DescribeFindings(const Analysis& analysis) {
  if (analysis.findings().empty()) return "\nno findings: nothing has to change\n";
  constexpr int kIndent = 9;
  std::string text = absl::StrCat("\nfindings: ", CountFindings(analysis), "\n");
  for (const Analysis::Finding& finding : analysis.findings()) {
    absl::StrAppendFormat(&text, "%-*s%s\n", kIndent, EnumName(Analysis::Finding::Severity_Name(finding.severity())),
                          Wrap(OneLine(finding.advice()), kIndent));
    const std::string commits = DescribeCommits(finding.commits());
    if (!commits.empty()) absl::StrAppend(&text, std::string(kIndent, ' '), commits, "\n");
  }
  return text;
}

}  // namespace

std::string DescribeCommits(const google::protobuf::RepeatedField<int64_t>& commits) {
  std::vector<std::string> numbers;
  for (int64_t commit : commits) numbers.push_back(FormatCount(commit));
  if (numbers.empty()) return "";
  return absl::StrCat(numbers.size() == 1 ? "commit " : "commits ", absl::StrJoin(numbers, ", "));
}

std::string CountFindings(const Analysis& analysis) {
  std::vector<std::string> parts;
  for (const auto& [severity, name] : {std::pair{Analysis::Finding::ERROR, "error"},
                                       {Analysis::Finding::WARNING, "warning"},
                                       {Analysis::Finding::NOTE, "note"}}) {
    int64_t count = 0;
    for (const Analysis::Finding& finding : analysis.findings()) count += finding.severity() == severity ? 1 : 0;
    if (count > 0) parts.push_back(absl::StrCat(count, " ", name, count == 1 ? "" : "s"));
  }
  return parts.empty() ? "no findings" : absl::StrJoin(parts, ", ");
}

std::string DescribeAnalysis(const Analysis& analysis) {
  std::string text = DescribeSubject(analysis) + "\n" + DescribeCounts(analysis);
  const int max_length = analysis.max_length();
  if (analysis.has_first_lengths()) text += DescribeLengths("first texts", analysis.first_lengths(), max_length);
  if (analysis.has_second_lengths()) {
    text += DescribeLengths("positives and negatives", analysis.second_lengths(), max_length);
  }
  if (analysis.has_labels()) text += DescribeLabels(analysis.labels());
  if (analysis.has_scores()) text += DescribeScores(analysis.scores());
  if (analysis.similar() + analysis.dissimilar() > 0) {
    absl::StrAppend(&text, "\nlabelled pairs: ", FormatCount(analysis.similar()), " similar, ",
                    FormatCount(analysis.dissimilar()), " dissimilar\n");
  }
  return text + DescribeFindings(analysis);
}

}  // namespace tandem::cli
