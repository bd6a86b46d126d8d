#include "server/rpc/names.h"

#include <gtest/gtest.h>

#include "server/base/status.h"

namespace tandem {
namespace {

TEST(NamesTest, ParsingUndoesFormatting) {
  EXPECT_EQ(*ParseDataset("name", DatasetName("faq")), "faq");
  EXPECT_EQ(ParseRevision("name", RevisionNameOf("m", "r"))->revision, "r");
  EXPECT_EQ(ParseRelease("name", ReleaseNameOf("c", "r"))->collection, "c");
  EXPECT_EQ(ParseEvaluationSet("name", EvaluationSetNameOf("c", "e"))->evaluation_set, "e");
}

TEST(NamesTest, AModelAloneIsItsNewestRevisionOnlyWhereThatIsAllowed) {
  EXPECT_EQ(ParseModelOrRevision("model", "models/m")->revision, "");
  EXPECT_EQ(ParseModelOrRevision("model", "models/m/revisions/r")->revision, "r");
  EXPECT_FALSE(ParseRevision("model", "models/m").ok());
}

TEST(NamesTest, AWrongNameIsRefusedWithTheFieldTheValueAndTheForm) {
  const absl::Status status = ParseCollection("collection", "datasets/x").status();
  EXPECT_EQ(FieldPath(status), "collection");
  EXPECT_EQ(status.message(), "collection: \"datasets/x\": must be \"collections/{collection}\"");
  for (const char* bad : {"", "/", "collections/", "collections", "collections/X", "collections/a/b", "/collections/a",
                          "collections/..", "collections/a/"}) {
    EXPECT_FALSE(ParseCollection("collection", bad).ok()) << bad;
  }
}

TEST(NamesTest, APageTokenBelongsToItsList) {
  const std::string token = PageToken("datasets", "faq");
  EXPECT_EQ(ParsePage("datasets", 10, token)->after, "faq");
  EXPECT_EQ(ParsePage("datasets", 10, token)->size, 10);
  EXPECT_EQ(ParsePage("datasets", 0, "")->size, 50);
  EXPECT_EQ(FieldPath(ParsePage("models", 10, token).status()), "page_token");
  EXPECT_EQ(FieldPath(ParsePage("datasets", 10, "%%%").status()), "page_token");
  EXPECT_EQ(FieldPath(ParsePage("datasets", -1, "").status()), "page_size");
}

}  // namespace
}  // namespace tandem
