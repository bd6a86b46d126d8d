#include "server/storage/database.h"

#include <fstream>

#include "tests/server/storage/storage_fixture.h"

namespace tandem {
namespace {

using testing::HasSubstr;

constexpr const char* kFirst[] = {"CREATE TABLE texts (text TEXT NOT NULL) STRICT"};
constexpr const char* kBoth[] = {kFirst[0], "ALTER TABLE texts ADD COLUMN size INTEGER NOT NULL DEFAULT 7"};

class DatabaseTest : public StorageFixture {
 protected:
  absl::Status Insert(Database& database, const std::string& text) {
    return database.Write([&](Database& db) -> absl::Status {
      Query(db, "INSERT INTO texts (text) VALUES (?)", text).Run();
      return absl::OkStatus();
    });
  }
  absl::StatusOr<int64_t> Number(Database& database, const std::string& sql) {
    return database.Read([&](Database& db) -> absl::StatusOr<int64_t> {
      Query row(db, sql);
      if (!row.Next()) return absl::NotFoundError(sql);
      return row.Int();
    });
  }
};

TEST_F(DatabaseTest, AWriterIsDurableAndChecksForeignKeys) {
  const auto database = Database::Open(File("a.db"), kFirst).value();
  EXPECT_EQ(Number(*database, "PRAGMA synchronous").value(), 2);  // FULL.
  EXPECT_EQ(Number(*database, "PRAGMA foreign_keys").value(), 1);
  EXPECT_TRUE(std::filesystem::exists(File("a.db-wal")));
}

TEST_F(DatabaseTest, AnOlderFormatIsBroughtToTheNewestAndKeepsItsRows) {
  ASSERT_TRUE(Insert(*Database::Open(File("a.db"), kFirst).value(), "kept").ok());
  const auto database = Database::Open(File("a.db"), kBoth).value();
  EXPECT_EQ(Number(*database, "PRAGMA user_version").value(), 2);
  EXPECT_EQ(Number(*database, "SELECT size FROM texts WHERE text = 'kept'").value(), 7);
}

TEST_F(DatabaseTest, AnErrorOfTheBodyRollsBack) {
  const auto database = Database::Open(File("a.db"), kFirst).value();
  const absl::Status refused = database->Write([](Database& db) -> absl::Status {
    Query(db, "INSERT INTO texts (text) VALUES ('x')").Run();
    return absl::AbortedError("no");
  });
  EXPECT_TRUE(absl::IsAborted(refused));
  EXPECT_EQ(Number(*database, "SELECT count(*) FROM texts").value(), 0);
}

TEST_F(DatabaseTest, AFullDiskIsResourceExhaustedAndLosesNothing) {
  const auto database = Database::Open(File("a.db"), kFirst).value();
  ASSERT_TRUE(Insert(*database, "kept").ok());
  ASSERT_TRUE(Number(*database, "PRAGMA max_page_count = 8").ok());
  const absl::Status full = Insert(*database, std::string(1 << 20, 'x'));
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr("full"));
  EXPECT_TRUE(Insert(*database, "small").ok());
  EXPECT_EQ(Number(*database, "SELECT count(*) FROM texts").value(), 2);
}

TEST_F(DatabaseTest, ADamagedPageIsDataLoss) {
  {
    const auto database = Database::Open(File("a.db"), kFirst).value();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(Insert(*database, std::string(3000, 'x')).ok());
  }
  {
    std::fstream file(File("a.db"), std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 2; page < 60; ++page) file.seekp(page * 4096) << std::string(512, '\xff');
  }
  const auto database = Database::Open(File("a.db"), kFirst).value();
  const absl::StatusOr<int64_t> sum = Number(*database, "SELECT sum(length(text)) FROM texts");
  EXPECT_EQ(sum.status().code(), absl::StatusCode::kDataLoss) << sum.status();
  EXPECT_THAT(std::string(sum.status().message()), HasSubstr("a.db"));
}

TEST_F(DatabaseTest, AReaderCannotWriteAndSaysSo) {
  const auto writer = Database::Open(File("a.db"), kFirst).value();
  const auto reader = Database::OpenReadOnly(File("a.db")).value();
  ASSERT_TRUE(Insert(*writer, "x").ok());
  EXPECT_EQ(Number(*reader, "SELECT count(*) FROM texts").value(), 1);
  const absl::Status refused = Insert(*reader, "y");
  EXPECT_TRUE(absl::IsInternal(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("readonly"));
}

}  // namespace
}  // namespace tandem
