#include "server/base/negative_mining.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/base/status.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Sampling = NegativeMiningOptions::Sampling;

using Ids = std::vector<int64_t>;
using Vectors = std::vector<std::vector<double>>;

// Ids 1, 2, … with these scores.
std::vector<RankedDocument> Ranked(const std::vector<float>& scores) {
  std::vector<RankedDocument> ranked;
  for (const float score : scores) ranked.push_back({static_cast<int64_t>(ranked.size()) + 1, score});
  return ranked;
}

Ids Choose(const std::vector<float>& scores, float positive, const NegativeMiningOptions& options) {
  return ChooseNegatives(Ranked(scores), positive, options, 7);
}

TEST(NegativeMiningTest, TakesTheFirstOfTheRanksFromMinToMax) {
  const std::vector<float> scores = {0.9f, 0.8f, 0.7f, 0.6f, 0.5f};
  EXPECT_THAT(Choose(scores, 1, {.negatives = 2}), ElementsAre(1, 2));
  EXPECT_THAT(Choose(scores, 1, {.negatives = 2, .min_rank = 3}), ElementsAre(3, 4));
  EXPECT_THAT(Choose(scores, 1, {.negatives = 3, .min_rank = 2, .max_rank = 3}), ElementsAre(2, 3));
  EXPECT_THAT(Choose(scores, 1, {.negatives = 9}), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Choose(scores, 1, {.min_rank = 6}), IsEmpty());
  EXPECT_THAT(Choose({}, 1, {}), IsEmpty());
}

TEST(NegativeMiningTest, ARankIsThatBeforeAnyScoreIsLookedAt) {
  EXPECT_THAT(Choose({0.9f, 0.8f, 0.7f, 0.6f}, 1, {.min_rank = 2, .max_rank = 3, .max_score = 0.75}), ElementsAre(3));
}

TEST(NegativeMiningTest, AScoreOnALimitIsWithinIt) {
  // Values that binary fractions have.
  const std::vector<float> scores = {0.75f, 0.5f, 0.25f, 0, -0.25f};
  EXPECT_THAT(Choose(scores, 0.75f, {.margin = 0}), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Choose(scores, 0.75f, {.margin = 0.25}), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Choose(scores, 0.5f, {.relative_margin = 0.5}), ElementsAre(3, 4, 5));
  EXPECT_THAT(Choose(scores, 1, {.min_score = 0, .max_score = 0.5}), ElementsAre(2, 3, 4));
  EXPECT_THAT(Choose(scores, 0.75f, {.margin = 0.25, .relative_margin = 0.5, .max_score = 0}), ElementsAre(4, 5));
}

TEST(NegativeMiningTest, ARelativeMarginBelowAPositiveUnderZeroIsBelowIt) {
  EXPECT_THAT(Choose({-0.25f, -0.5f, -0.75f}, -0.5f, {.relative_margin = 0.5}), ElementsAre(3));
}

TEST(NegativeMiningTest, NotANumberIsNoCandidate) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Choose({0.5f, nan}, 1, {}), ElementsAre(1));
  EXPECT_THAT(Choose({0.5f}, nan, {.margin = 0}), IsEmpty());
}

TEST(NegativeMiningTest, RandomTakesEachCandidateAsOftenAndDependsOnSeedAndAnchor) {
  const std::vector<RankedDocument> ranked = Ranked({0.9f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f, 0.3f, 0.2f});
  NegativeMiningOptions options{.negatives = 3, .min_rank = 2, .max_rank = 7, .sampling = Sampling::kRandom};
  std::vector<int> times(9);
  constexpr int kAnchors = 6000;
  for (uint64_t anchor = 0; anchor < kAnchors; ++anchor) {
    const Ids chosen = ChooseNegatives(ranked, 1, options, anchor);
    ASSERT_EQ(chosen.size(), 3);
    ASSERT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
    ASSERT_EQ(std::adjacent_find(chosen.begin(), chosen.end()), chosen.end());
    ASSERT_EQ(chosen, ChooseNegatives(ranked, 1, options, anchor));
    for (const int64_t id : chosen) ++times[id];
  }
  EXPECT_EQ(times[1] + times[8], 0);
  for (int id = 2; id <= 7; ++id) EXPECT_NEAR(times[id], kAnchors / 2, 200) << id;  // 5 standard deviations.
  int differ = 0;
  NegativeMiningOptions other = options;
  other.seed = 43;
  for (uint64_t anchor = 0; anchor < 100; ++anchor) {
    differ += ChooseNegatives(ranked, 1, options, anchor) != ChooseNegatives(ranked, 1, other, anchor);
  }
  EXPECT_GT(differ, 80);  // Of 20 choices, 19 differ.
}

// The reference: see tests/golden/mining/make_golden.py.

double Cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double product = 0, of_a = 0, of_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += a[i] * b[i];
    of_a += a[i] * a[i];
    of_b += b[i] * b[i];
  }
  return product / std::sqrt(of_a * of_b);
}

struct Ranking {
  std::vector<RankedDocument> documents;  // Without positives.
  std::vector<int> before;                // Positives that rank before each document.
  float positive_score = 1;
};

Ranking Rank(const std::vector<double>& anchor, const Vectors& documents, const Ids& positives) {
  std::vector<RankedDocument> all;
  for (size_t i = 0; i < documents.size(); ++i) {
    all.push_back({static_cast<int64_t>(i), static_cast<float>(Cosine(anchor, documents[i]))});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  Ranking ranking;
  int positives_seen = 0;
  for (const RankedDocument& document : all) {
    if (std::find(positives.begin(), positives.end(), document.id) == positives.end()) {
      ranking.documents.push_back(document);
      ranking.before.push_back(positives_seen);
    } else {
      ++positives_seen;
      ranking.positive_score = document.score;
    }
  }
  return ranking;
}

struct PeerOptions {
  NegativeMiningOptions ours;
  bool has_scores = false;  // A rule on scores.
  size_t range_max = 0;
};

PeerOptions FromPeer(const nlohmann::json& json, int most_positives) {
  PeerOptions peer;
  const auto optional = [&](const char* key) {
    peer.has_scores |= json.contains(key);
    return json.contains(key) ? std::optional<double>(json[key].get<double>()) : std::nullopt;
  };
  peer.ours.negatives = json["num_negatives"];
  peer.ours.min_rank = json.value("range_min", 0) + 1;
  peer.ours.max_rank = json.value("range_max", json.value("range_min", 0) + peer.ours.negatives + most_positives);
  peer.ours.margin = optional("absolute_margin");
  peer.ours.relative_margin = optional("relative_margin");
  peer.ours.min_score = optional("min_score");
  peer.ours.max_score = optional("max_score");
  peer.range_max = peer.ours.max_rank;
  return peer;
}

// The peer's order of steps, of ours: a window of its own length, the rules on scores, then the ranks of what is left.
Ids InThePeersOrder(const Ranking& ranking, const PeerOptions& peer, int most_positives) {
  std::vector<RankedDocument> window;
  for (size_t i = 0; i < ranking.documents.size(); ++i) {
    if (i + ranking.before[i] < peer.range_max + most_positives) window.push_back(ranking.documents[i]);
  }
  NegativeMiningOptions scores = peer.ours;
  scores.negatives = static_cast<int>(window.size());
  scores.min_rank = 1;
  scores.max_rank = static_cast<int>(window.size());
  std::vector<RankedDocument> left;
  for (const int64_t id : ChooseNegatives(window, ranking.positive_score, scores, 0)) left.push_back({id, 0});
  return ChooseNegatives(
      left, 1, {.negatives = peer.ours.negatives, .min_rank = peer.ours.min_rank, .max_rank = peer.ours.max_rank}, 0);
}

TEST(NegativeMiningTest, ChoosesWhatThePeerChooses) {
  const absl::StatusOr<std::string> bytes = ReadFile("tests/golden/mining/mining.json");
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const nlohmann::json golden = nlohmann::json::parse(*bytes);
  const Vectors anchors = golden["anchors"], documents = golden["documents"];
  const std::vector<Ids> positives = golden["positives"];
  int most_positives = 0;
  for (const Ids& own : positives) most_positives = std::max(most_positives, static_cast<int>(own.size()));
  int same = 0, different = 0;
  for (const nlohmann::json& one : golden["cases"]) {
    const PeerOptions peer = FromPeer(one["options"], most_positives);
    // Where the peer's ranks are ours: without rules on scores, or when no document is left out by its rank.
    const bool comparable = !peer.has_scores || (peer.ours.min_rank == 1 && peer.range_max >= documents.size());
    for (size_t i = 0; i < anchors.size(); ++i) {
      SCOPED_TRACE(testing::Message() << one["options"] << ", anchor " << i);
      const Ids expected = one["chosen"][i];
      const Ranking ranking = Rank(anchors[i], documents, positives[i]);
      EXPECT_EQ(InThePeersOrder(ranking, peer, most_positives), expected);
      const Ids chosen = ChooseNegatives(ranking.documents, ranking.positive_score, peer.ours, i);
      EXPECT_TRUE(!comparable || chosen == expected) << testing::PrintToString(chosen);
      (chosen == expected ? same : different) += 1;
    }
  }
  EXPECT_GE(same, 11 * 12);
  EXPECT_GE(different, 1);  // The header's differences are there.
}

TEST(NegativeMiningOptionsTest, JsonKeepsEveryOption) {
  const NegativeMiningOptions options{.negatives = 3,
                                      .min_rank = 4,
                                      .max_rank = 20,
                                      .margin = 0.25,
                                      .relative_margin = 0.5,
                                      .min_score = -0.125,
                                      .max_score = 0.75,
                                      .sampling = Sampling::kRandom,
                                      .seed = 9};
  EXPECT_TRUE(options.Validate("mining").ok());
  const nlohmann::json json = ToJson(options), defaults = ToJson(NegativeMiningOptions());
  for (const auto& [key, value] : json.items()) EXPECT_NE(defaults.value(key, nlohmann::json()), value) << key;
  const absl::StatusOr<NegativeMiningOptions> read = NegativeMiningOptionsFromJson(json);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), json);
  EXPECT_EQ(ToJson(*NegativeMiningOptionsFromJson(nlohmann::json::object())), defaults);
  EXPECT_EQ(NegativeMiningOptionsFromJson({{"negative", 3}}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NegativeMiningOptionsFromJson({{"sampling", 3}}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NegativeMiningOptionsTest, ErrorsNameTheFieldAndItsLimits) {
  EXPECT_TRUE(NegativeMiningOptions().Validate("mining").ok());
  const auto error = [](const std::function<void(NegativeMiningOptions&)>& change) {
    NegativeMiningOptions options;
    change(options);
    const absl::Status status = options.Validate("mining");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(error([](auto& o) { o.negatives = 0; }), HasSubstr("mining.negatives: 0: must be in [1, 64]"));
  EXPECT_THAT(error([](auto& o) { o.negatives = 65; }), HasSubstr("mining.negatives: 65"));
  EXPECT_THAT(error([](auto& o) { o.max_rank = 4; }),
              HasSubstr("mining.negatives: 5: must be at most 4, the number of ranks from 1 to 4"));
  EXPECT_THAT(error([](auto& o) { o.min_rank = 0; }), HasSubstr("mining.min_rank: 0: must be in [1, 100]"));
  EXPECT_THAT(error([](auto& o) { o.min_rank = 101; }), HasSubstr("mining.min_rank: 101"));
  EXPECT_THAT(error([](auto& o) { o.max_rank = 1001; }), HasSubstr("mining.max_rank: 1001: must be in [1, 1000]"));
  EXPECT_THAT(error([](auto& o) { o.margin = 2.5; }), HasSubstr("mining.margin: 2.5: must be in [0, 2]"));
  EXPECT_THAT(error([nan](auto& o) { o.margin = nan; }), HasSubstr("mining.margin: nan"));
  EXPECT_THAT(error([](auto& o) { o.relative_margin = -0.5; }), HasSubstr("mining.relative_margin: -0.5"));
  EXPECT_THAT(error([](auto& o) { o.min_score = -2; }), HasSubstr("mining.min_score: -2"));
  EXPECT_THAT(error([](auto& o) { o.max_score = 2; }), HasSubstr("mining.max_score: 2"));
  EXPECT_THAT(error([](auto& o) { o.min_score = 0.5, o.max_score = 0.25; }),
              HasSubstr("mining.min_score: 0.5: must be in [-1, 0.25]"));
  EXPECT_THAT(error([](auto& o) { o.seed = -1; }), HasSubstr("mining.seed: -1"));
}

}  // namespace
}  // namespace tandem
