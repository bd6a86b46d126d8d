#include "tests/e2e/answer_oracle.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/storage/document_store.h"

namespace tandem::test {
namespace {

// Two scores that are closer than this are equal for floats that were added up in another order.
constexpr double kNearTie = 1e-6;
// A score of float vectors, as the server computes it, against the same in double.
constexpr double kScoreError = 1e-5;
constexpr size_t kMostFindings = 20;
constexpr size_t kTextsOfOneCall = 512;

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(),
                            [](float x, float y) { return double{x} * y; });
}

}  // namespace

absl::StatusOr<std::vector<LoggedVersion>> ReadCommitLog(const std::filesystem::path& documents_db) {
  ASSIGN_OR_RETURN(const std::unique_ptr<DocumentStore> store, DocumentStore::Open(documents_db));
  std::vector<LoggedVersion> log;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<DocumentVersion> page,
                     store->ReadLog(log.empty() ? 0 : log.back().commit, 10'000, int64_t{1} << 28));
    if (page.empty()) return log;
    for (const DocumentVersion& version : page) {
      log.push_back({.commit = version.commit, .id = version.id, .text = version.deleted ? "" : version.text});
    }
  }
}

AnswerOracle::AnswerOracle(std::vector<LoggedVersion> log, std::map<std::string, std::string> release_revision,
                           Embed embed)
    : log_(std::move(log)), release_revision_(std::move(release_revision)), embed_(std::move(embed)) {}

absl::StatusOr<std::vector<std::string>> AnswerOracle::Check(std::vector<SearchAnswer> answers) {
  std::vector<std::string> findings;
  const auto unknown = std::partition(answers.begin(), answers.end(), [this](const SearchAnswer& answer) {
    return release_revision_.contains(answer.release);
  });
  for (auto answer = unknown; answer != answers.end(); ++answer) {
    if (findings.size() < kMostFindings) findings.push_back(absl::StrCat("nobody made release ", answer->release));
  }
  answers.erase(unknown, answers.end());
  RETURN_IF_ERROR(EmbedWhatIsNeeded(answers));
  std::sort(answers.begin(), answers.end(),
            [](const SearchAnswer& a, const SearchAnswer& b) { return a.commit < b.commit; });
  Documents documents;
  auto next = log_.begin();
  for (const SearchAnswer& answer : answers) {
    for (; next != log_.end() && next->commit <= answer.commit; ++next) {
      if (next->text.empty()) {
        documents.erase(next->id);
      } else {
        documents[next->id] = {.commit = next->commit, .text = next->text};
      }
    }
    std::string finding = CheckOne(answer, documents);
    if (!finding.empty() && findings.size() < kMostFindings) findings.push_back(std::move(finding));
  }
  return findings;
}

absl::Status AnswerOracle::EmbedWhatIsNeeded(const std::vector<SearchAnswer>& answers) {
  std::map<std::string, std::set<std::string>> queries;  // By revision.
  for (const SearchAnswer& answer : answers) queries[release_revision_.at(answer.release)].insert(answer.query);
  std::set<std::string> texts;
  for (const LoggedVersion& version : log_) {
    if (!version.text.empty()) texts.insert(version.text);
  }
  for (const auto& [revision, asked] : queries) {
    RETURN_IF_ERROR(EmbedAll(revision, asked, Role::kQuery));
    RETURN_IF_ERROR(EmbedAll(revision, texts, Role::kDocument));
  }
  return absl::OkStatus();
}

absl::Status AnswerOracle::EmbedAll(const std::string& revision, const std::set<std::string>& texts, Role role) {
  std::vector<std::string> batch;
  const auto embed_batch = [&]() -> absl::Status {
    if (batch.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<Vector> vectors, embed_(revision, batch, role));
    if (vectors.size() != batch.size()) {
      return absl::InternalError(absl::StrCat(vectors.size(), " vectors for ", batch.size(), " texts"));
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto length = static_cast<float>(std::sqrt(Dot(vectors[i], vectors[i])));
      for (float& value : vectors[i]) value /= length;
      vectors_[{revision, role, batch[i]}] = std::move(vectors[i]);
    }
    batch.clear();
    return absl::OkStatus();
  };
  for (const std::string& text : texts) {
    if (vectors_.contains({revision, role, text})) continue;
    batch.push_back(text);
    if (batch.size() == kTextsOfOneCall) RETURN_IF_ERROR(embed_batch());
  }
  return embed_batch();
}

const std::vector<float>& AnswerOracle::VectorOf(const std::string& revision, const std::string& text,
                                                 Role role) const {
  return vectors_.at({revision, role, text});
}

std::string AnswerOracle::CheckOne(const SearchAnswer& answer, const Documents& documents) const {
  const std::string& revision = release_revision_.at(answer.release);
  const std::string where =
      absl::StrCat(answer.release, " of ", revision, " at commit ", answer.commit, ", \"", answer.query, "\": ");
  const size_t expected_hits = std::min<size_t>(static_cast<size_t>(answer.top_k), documents.size());
  if (answer.hits.size() != expected_hits) {
    return absl::StrCat(where, answer.hits.size(), " hits, must be ", expected_hits, " of ", documents.size());
  }
  struct Ranked {
    double score;
    int64_t commit;
    const std::string* id;
  };
  const Vector& query = VectorOf(revision, answer.query, Role::kQuery);
  std::vector<Ranked> ranking;
  std::map<std::string, double> scores;
  for (const auto& [id, document] : documents) {
    const double score = Dot(query, VectorOf(revision, document.text, Role::kDocument));
    ranking.push_back({score, document.commit, &id});
    scores[id] = score;
  }
  const auto better = [](const Ranked& a, const Ranked& b) {
    return a.score != b.score ? a.score > b.score : a.commit < b.commit;
  };
  std::partial_sort(ranking.begin(), ranking.begin() + static_cast<ptrdiff_t>(expected_hits), ranking.end(), better);
  std::set<std::string> seen;
  for (size_t i = 0; i < expected_hits; ++i) {
    const SearchAnswer::Hit& hit = answer.hits[i];
    const std::string rank = absl::StrCat(where, "hit ", i, ", ", hit.id, ", ");
    const auto document = documents.find(hit.id);
    if (document == documents.end()) return absl::StrCat(rank, "does not exist then");
    if (!seen.insert(hit.id).second) return absl::StrCat(rank, "comes twice");
    if (!hit.text.empty() && hit.text != document->second.text) {
      return absl::StrCat(rank, "came with text \"", hit.text, "\", it was \"", document->second.text, "\"");
    }
    const double score = scores.at(hit.id);
    if (std::abs(score - hit.score) > kScoreError)
      return absl::StrCat(rank, "has score ", hit.score, ", must be ", score);
    if (hit.id != *ranking[i].id && std::abs(score - ranking[i].score) > kNearTie) {
      return absl::StrCat(rank, "of score ", score, " stands where ", *ranking[i].id, " of score ", ranking[i].score,
                          " must be");
    }
  }
  return "";
}

}  // namespace tandem::test
