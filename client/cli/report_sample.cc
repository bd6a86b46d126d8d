#include "client/cli/report_sample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/names.h"
#include "client/report/series.h"

namespace tandem::cli {
namespace {

constexpr int64_t kMostRead = 100'000;
// Of one call: small enough for the time limit of a call on a slow machine, and for its size.
constexpr size_t kTextsPerCall = 32;
constexpr size_t kBytesPerCall = 1 << 20;
constexpr size_t kMostKinds = 4;
constexpr float kBelongTogether = 0.5f;

// Where the texts come from.
struct Source {
  std::string dataset;
  int64_t commit = std::numeric_limits<int64_t>::max();
  bool unseen = false;
};

Source SourceOf(const v1::Job& job, const v1::ModelRevision& revision) {
  std::vector<std::string> trained = {revision.dataset()};
  for (const v1::ModelRevision::Source& source : revision.sources()) trained.push_back(source.dataset());
  // The validation's is the last that a job reads, and is none that it trains on.
  if (job.datasets_size() > 1) {
    const std::string& last = job.datasets(job.datasets_size() - 1);
    if (std::find(trained.begin(), trained.end(), last) == trained.end()) return {.dataset = last, .unseen = true};
  }
  return {.dataset = revision.dataset(), .commit = revision.dataset_commit()};
}

bool IsTextAlone(const v1::Example& example) { return example.has_labelled_text() || example.has_text(); }

absl::StatusOr<std::vector<v1::Example>> ReadEvenly(const Client& client, const Source& source, size_t texts) {
  absl::StatusOr<v1::Dataset> dataset = client.datasets.Get(source.dataset);
  if (!dataset.ok()) return dataset.status();
  const int64_t size = std::min({dataset->example_count(), source.commit, kMostRead});
  const std::vector<size_t> wanted = report::EvenlySpread(static_cast<size_t>(size), texts);
  std::vector<v1::Example> examples;
  size_t position = 0;
  const absl::Status status =
      client.datasets.VisitExamples(source.dataset, [&](const v1::ListExamplesResponse::Item& item) {
        if (examples.size() < wanted.size() && position++ == wanted[examples.size()])
          examples.push_back(item.example());
        return examples.size() < wanted.size();
      });
  if (!status.ok()) return status;
  if (examples.empty()) return absl::NotFoundError(absl::StrCat(source.dataset, " has no examples"));
  if (IsTextAlone(examples[0])) return examples;
  std::vector<v1::Example> half;  // Each has two texts.
  for (size_t i : report::EvenlySpread(examples.size(), std::max<size_t>(1, texts / 2)))
    half.push_back(std::move(examples[i]));
  return half;
}

// Takes texts in, each with what it is.
class SampleBuilder {
 public:
  size_t Add(const std::string& text, int kind) {
    sample.texts.push_back(text);
    sample.kind.push_back(kind);
    return sample.texts.size() - 1;
  }

  void AddTwo(const std::string& first, const std::string& second, bool together) {
    const size_t from = Add(first, 0), to = Add(second, 1);
    if (together) sample.pairs.push_back({from, to});
  }

  report::EmbeddingSample sample;
};

// The three most frequent classes by name, the rest as one.
std::map<std::string, int> KindsOfClasses(const std::vector<v1::Example>& examples, std::vector<std::string>* names) {
  std::map<std::string, int> counts, kinds;
  for (const v1::Example& example : examples) ++counts[example.labelled_text().label()];
  std::vector<std::pair<std::string, int>> order(counts.begin(), counts.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (size_t i = 0; i < order.size(); ++i) {
    const bool own = order.size() <= kMostKinds || i + 1 < kMostKinds;
    kinds[order[i].first] = static_cast<int>(own ? i : kMostKinds - 1);
    if (own) names->push_back(order[i].first);
  }
  if (order.size() > kMostKinds) names->push_back("other classes");
  return kinds;
}

void AddClasses(const std::vector<v1::Example>& examples, SampleBuilder* builder) {
  const std::map<std::string, int> kinds = KindsOfClasses(examples, &builder->sample.kinds);
  std::map<std::string, size_t> last;
  for (const v1::Example& example : examples) {
    if (!example.has_labelled_text()) continue;
    const std::string& label = example.labelled_text().label();
    const size_t place = builder->Add(example.labelled_text().text(), kinds.at(label));
    if (const auto before = last.find(label); before != last.end())
      builder->sample.pairs.push_back({before->second, place});
    last[label] = place;
  }
}

absl::Status Embed(const Client& client, const std::string& model, v1::InputRole role,
                   const report::EmbeddingSample& sample, const std::vector<size_t>& places, report::Vectors* vectors) {
  for (size_t begin = 0; begin < places.size();) {
    v1::EmbedRequest request;
    request.set_model(model);
    request.set_role(role);
    size_t end = begin, bytes = 0;
    while (end < places.size() && end - begin < kTextsPerCall && (end == begin || bytes < kBytesPerCall)) {
      bytes += sample.texts[places[end]].size();
      request.add_texts(sample.texts[places[end++]]);
    }
    const absl::StatusOr<v1::EmbedResponse> response = client.embeddings.Embed(std::move(request));
    if (!response.ok()) return response.status();
    for (int i = 0; i < response->embeddings_size(); ++i) {
      const auto& values = response->embeddings(i).vector().values();
      double length = 0;
      for (float value : values) length += static_cast<double>(value) * value;
      const float scale = length > 0 ? static_cast<float>(1 / std::sqrt(length)) : 0;
      std::vector<float>& vector = (*vectors)[places[begin + static_cast<size_t>(i)]];
      for (float value : values) vector.push_back(value * scale);
    }
    begin = end;
  }
  return absl::OkStatus();
}

// As in training: what stands second in an example is a document, the rest are queries.
absl::StatusOr<report::Vectors> EmbedAll(const Client& client, const std::string& model,
                                         const report::EmbeddingSample& sample, bool two_sides) {
  std::vector<size_t> queries, documents;
  for (size_t i = 0; i < sample.texts.size(); ++i)
    (two_sides && sample.kind[i] == 1 ? documents : queries).push_back(i);
  report::Vectors vectors(sample.texts.size());
  absl::Status status = Embed(client, model, v1::QUERY, sample, queries, &vectors);
  if (status.ok()) status = Embed(client, model, v1::DOCUMENT, sample, documents, &vectors);
  if (!status.ok()) return status;
  return vectors;
}

}  // namespace

report::EmbeddingSample SampleOf(const std::vector<v1::Example>& examples) {
  SampleBuilder builder;
  if (examples.empty()) return builder.sample;
  const v1::Example::KindCase form = examples[0].kind_case();
  if (form == v1::Example::kLabelledText) {
    AddClasses(examples, &builder);
    return builder.sample;
  }
  builder.sample.kinds = form == v1::Example::kPair   ? std::vector<std::string>{"query", "document"}
                         : form == v1::Example::kText ? std::vector<std::string>{"text"}
                                                      : std::vector<std::string>{"first text", "second text"};
  for (const v1::Example& example : examples) {
    if (example.kind_case() != form) continue;
    if (example.has_pair()) builder.AddTwo(example.pair().anchor(), example.pair().positives(0), true);
    if (example.has_scored_pair()) {
      builder.AddTwo(example.scored_pair().first(), example.scored_pair().second(),
                     example.scored_pair().score() >= kBelongTogether);
    }
    if (example.has_labelled_pair()) {
      builder.AddTwo(example.labelled_pair().first(), example.labelled_pair().second(),
                     example.labelled_pair().similar());
    }
    if (example.has_text()) builder.Add(example.text().text(), 0);
  }
  return builder.sample;
}

absl::StatusOr<report::EmbeddingSample> CollectSample(const Client& client, const v1::Job& job,
                                                      const v1::ModelRevision& revision, size_t texts) {
  const Source source = SourceOf(job, revision);
  absl::StatusOr<std::vector<v1::Example>> examples = ReadEvenly(client, source, texts);
  if (!examples.ok()) return examples.status();
  report::EmbeddingSample sample = SampleOf(*examples);
  sample.source =
      absl::StrCat(FormatCount(static_cast<int64_t>(examples->size())), " examples of ", ShortName(source.dataset));
  sample.unseen = source.unseen;
  const bool two_sides = !IsTextAlone(examples->front());
  absl::StatusOr<report::Vectors> before = EmbedAll(client, job.base_revision(), sample, two_sides);
  if (!before.ok()) return before.status();
  absl::StatusOr<report::Vectors> after = EmbedAll(client, revision.name(), sample, two_sides);
  if (!after.ok()) return after.status();
  sample.before = *std::move(before);
  sample.after = *std::move(after);
  return sample;
}

}  // namespace tandem::cli
