#include "server/base/embedding_contract.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

EmbeddingContract Sample() {
  return {.query_prompt = "query: ",
          .document_prompt = "",
          .max_length = 256,
          .truncation_side = TruncationSide::kStart,
          .pooling = PoolingKind::kCls,
          .normalize = true,
          .dimensions = 384,
          .metric = MetricKind::kInnerProduct};
}

TEST(EmbeddingContractTest, JsonRoundTripKeepsEveryField) {
  const auto read = ContractFromJson(nlohmann::json::parse(ToJson(Sample()).dump()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, Sample());
}

TEST(EmbeddingContractTest, EnumValuesOnDiskDoNotChange) {
  const nlohmann::json json = ToJson(Sample());
  EXPECT_EQ(json["truncation_side"], 2);
  EXPECT_EQ(json["pooling"], 2);
  EXPECT_EQ(json["metric"], 2);
}

TEST(EmbeddingContractTest, MissingOrOddFieldsAreDataLossByName) {
  const nlohmann::json whole = ToJson(Sample());
  for (const auto& [name, value] : whole.items()) {
    nlohmann::json json = whole;
    json.erase(name);
    absl::Status status = ContractFromJson(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_NE(status.ToString().find(name), std::string::npos) << status;
    json[name] = nlohmann::json::array();
    status = ContractFromJson(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_NE(status.ToString().find(name), std::string::npos) << status;
  }
  for (const char* name : {"pooling", "truncation_side", "metric", "dimensions", "max_length"}) {
    nlohmann::json json = ToJson(Sample());
    json[name] = 0;
    EXPECT_EQ(ContractFromJson(json).status().code(), absl::StatusCode::kDataLoss) << name;
  }
  EXPECT_EQ(ContractFromJson(nlohmann::json::array()).status().code(), absl::StatusCode::kDataLoss);
}

TEST(EmbeddingContractTest, PromptFollowsTheRole) {
  EXPECT_EQ(Sample().PromptOf(InputRole::kQuery), "query: ");
  EXPECT_EQ(Sample().PromptOf(InputRole::kDocument), "");
}

}  // namespace
}  // namespace tandem
