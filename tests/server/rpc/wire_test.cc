#include "server/rpc/wire.h"

#include <gtest/gtest.h>

#include "server/base/status.h"
#include "tandem/v1/dataset.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

TEST(WireTest, AMessageComesBackFromItsBytes) {
  v1::CreateDatasetRequest request, again;
  request.set_dataset_id("faq");
  ASSERT_TRUE(ParseMessage(SerializeMessage(request), &again).ok());
  EXPECT_EQ(again.dataset_id(), "faq");
}

TEST(WireTest, InvalidUtf8NamesItsField) {
  v1::AppendExamplesRequest request;
  const std::string positive = "\x12\x01\xFF", pair =
                                                   "\x0A\x01"
                                                   "a" +
                                                   positive;
  const std::string example = std::string("\x0A") + static_cast<char>(pair.size()) + pair;
  const std::string bytes = std::string("\x22") + static_cast<char>(example.size()) + example;
  EXPECT_EQ(FieldPath(ParseMessage(bytes, &request)), "examples[0].pair.positives[0]");
}

TEST(WireTest, AnUnknownFieldIsRefusedWithItsPath) {
  v1::TrainRequest request;
  const std::string options = "\xF8\x3E\x01";  // Field 1007, a number.
  const std::string bytes = std::string("\x42") + static_cast<char>(options.size()) + options;
  const absl::Status status = ParseMessage(bytes, &request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldPath(status), "options.#1007");
}

TEST(WireTest, TheFingerprintIsOfTheContentWithoutTheRequestId) {
  v1::CreateDatasetRequest a, b;
  a.set_dataset_id("faq");
  b.set_dataset_id("faq");
  a.set_request_id("1");
  b.set_request_id("2");
  EXPECT_EQ(Fingerprint(a), Fingerprint(b));
  EXPECT_EQ(Fingerprint(a).size(), 64u);
  EXPECT_EQ(Fingerprint(v1::CreateDatasetRequest()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");  // SHA-256 of nothing.
  b.set_display_name("x");
  EXPECT_NE(Fingerprint(a), Fingerprint(b));
}

TEST(WireTest, Utf8IsWhatRfc3629Says) {
  for (const char* good :
       {"", "a", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xF5\x80", "\xC3", "\xE2\x82", "a\xFF"}) {
    EXPECT_FALSE(IsUtf8(bad));
    EXPECT_TRUE(IsUtf8(ReplaceInvalidUtf8(bad)));
  }
}

}  // namespace
}  // namespace tandem
