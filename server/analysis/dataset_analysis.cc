#include "server/analysis/dataset_analysis.h"

#include <algorithm>

#include "server/analysis/dataset_counts.h"
#include "server/analysis/findings.h"
#include "server/analysis/text_tables.h"
#include "server/base/status.h"

namespace tandem {
namespace {

// Expected number of ordered pairs of rows of a random batch that are among `pairs` of all n (n - 1).
double ExpectedInBatch(double pairs, int64_t rows, int64_t batch_size) {
  if (rows < 2) return 0;
  const double n = static_cast<double>(rows), b = static_cast<double>(std::min(batch_size, rows));
  return pairs * (b * (b - 1)) / (n * (n - 1));
}

void AddToHistogram(double score, ScoreDistribution& scores) {
  const double width = (scores.highest - scores.lowest) / static_cast<double>(scores.histogram.size());
  const double place = width > 0 ? (score - scores.lowest) / width : 0;
  ++scores.histogram[std::min(static_cast<size_t>(place), scores.histogram.size() - 1)];
}

}  // namespace

absl::StatusOr<DatasetReport> AnalyzeDataset(const ExampleScan& dataset, const ExampleScan& validation,
                                             const AnalysisOptions& options) {
  DatasetReport report;
  int64_t done = 0, all = 0;
  const auto proceed = [&]() { return options.proceed ? options.proceed(++done, all) : absl::OkStatus(); };
  DatasetCounts counts(&options);
  RETURN_IF_ERROR(dataset([&](const StoredExample& example) {
    RETURN_IF_ERROR(proceed());
    return counts.Add(example);
  }));
  RETURN_IF_ERROR(counts.Finish(report));

  const int64_t parts = std::max<int64_t>(1, (report.texts + options.texts_per_pass - 1) / options.texts_per_pass);
  all = report.examples * (parts + 1);
  const double score_range = report.scores ? report.scores->highest - report.scores->lowest : 0;
  double row_pairs = 0;
  for (int64_t part = 0; part < parts; ++part) {
    TextTables tables(part, parts, score_range);
    RETURN_IF_ERROR(dataset([&](const StoredExample& example) {
      RETURN_IF_ERROR(proceed());
      if (part == 0 && report.scores && example.example.kind == ExampleKind::kScoredPair) {
        AddToHistogram(example.example.score, *report.scores);
      }
      tables.Add(example);
      return absl::OkStatus();
    }));
    if (validation) {
      report.validation_examples = 0;
      RETURN_IF_ERROR(validation([&](const StoredExample& example) {
        if (options.proceed) RETURN_IF_ERROR(options.proceed(done, all));
        ++report.validation_examples;
        tables.AddValidation(example);
        return absl::OkStatus();
      }));
    }
    tables.Finish(report);
    row_pairs += tables.row_pairs();
  }
  report.false_negatives = ExpectedInBatch(row_pairs, report.rows, options.batch_size);
  report.findings = FindingsOf(report, options.batch_size, options.max_length);
  return report;
}

}  // namespace tandem
