#include "server/base/event_log.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "server/base/ids.h"

namespace tandem {
namespace {

class EventLogTest : public testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(RemoveTree(path_).ok()); }

  void Write(int attempt, int count) {
    auto writer = EventWriter::Open(path_, attempt);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int i = 0; i < count; ++i) ASSERT_TRUE((*writer)->Append({{"type", "step"}, {"step", i}}).ok());
  }
  void AddBytes(std::string_view bytes) { std::ofstream(path_, std::ios::app | std::ios::binary) << bytes; }
  std::string Bytes() { return *ReadFile(path_); }

  const std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) / ("event_log_test-" + NewId());
};

TEST_F(EventLogTest, ReaderGetsEachRecordOnce) {
  EventReader reader(path_);
  EXPECT_TRUE(reader.ReadNew()->empty());  // No file yet.
  Write(1, 2);
  const auto first = reader.ReadNew();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->size(), 2u);
  EXPECT_EQ((*first)[1]["sequence"], 2);
  EXPECT_EQ((*first)[1]["attempt"], 1);
  EXPECT_GT((*first)[1]["time_us"], 1'600'000'000'000'000);
  EXPECT_TRUE(reader.ReadNew()->empty());
  Write(2, 1);
  const auto second = reader.ReadNew();
  ASSERT_EQ(second->size(), 1u);
  EXPECT_EQ((*second)[0]["sequence"], 3);
  EXPECT_EQ((*second)[0]["attempt"], 2);
}

TEST_F(EventLogTest, EveryTornTailIsIgnoredThenCutOff) {
  Write(1, 2);
  const std::string whole = Bytes();
  Write(1, 1);
  const std::string longer = Bytes();
  for (size_t size = whole.size(); size < longer.size(); ++size) {
    ASSERT_TRUE(WriteFileDurably(path_, longer.substr(0, size)).ok());
    EventReader reader(path_);
    ASSERT_EQ(reader.ReadNew()->size(), 2u);
    Write(2, 1);
    const auto rest = reader.ReadNew();
    ASSERT_TRUE(rest.ok()) << rest.status();
    ASSERT_EQ(rest->size(), 1u);
    EXPECT_EQ((*rest)[0]["sequence"], 3);
    EXPECT_EQ((*rest)[0]["attempt"], 2);
  }
}

TEST_F(EventLogTest, DamagedLastLineIsIgnored) {
  Write(1, 1);
  AddBytes("deadbeef {\"sequence\":2}\n");
  EXPECT_EQ(EventReader(path_).ReadNew()->size(), 1u);
  Write(2, 1);
  EXPECT_EQ(EventReader(path_).ReadNew()->size(), 2u);
}

TEST_F(EventLogTest, DamageBeforeTheLastLineIsDataLoss) {
  Write(1, 3);
  std::string bytes = Bytes();
  const size_t second_line = bytes.find('\n') + 1;
  bytes[second_line + 20] ^= 1;
  ASSERT_TRUE(WriteFileDurably(path_, bytes).ok());
  const absl::Status status = EventReader(path_).ReadNew().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.ToString().find(path_.string()), std::string::npos);
  EXPECT_EQ(EventWriter::Open(path_, 2).status().code(), absl::StatusCode::kDataLoss);
}

// Blocks that were written and not synced may be lost while later ones are there.
TEST_F(EventLogTest, WhatLiesBehindBlocksThatAPowerCutLostIsCutOff) {
  Write(1, 9);
  const std::string whole = Bytes();
  const size_t fourth_line = [&] {
    size_t begin = 0;
    for (int i = 0; i < 3; ++i) begin = whole.find('\n', begin) + 1;
    return begin;
  }();
  // From the start of a line, from within it, over its end.
  for (const auto& [begin, size] :
       {std::pair{fourth_line, size_t{20}}, {fourth_line + 30, size_t{10}}, {fourth_line + 30, size_t{100}}}) {
    std::string bytes = whole;
    bytes.replace(begin, size, size, '\0');
    ASSERT_TRUE(WriteFileDurably(path_, bytes).ok());
    EventReader reader(path_);
    EXPECT_EQ(reader.ReadNew()->size(), 3u);
    EXPECT_FALSE(reader.more());
    Write(2, 1);
    EXPECT_EQ(reader.ReadNew()->size(), 1u);
    EXPECT_EQ(reader.last_sequence(), 4);
  }
}

TEST_F(EventLogTest, MissingRecordIsDataLoss) {
  Write(1, 3);
  std::string bytes = Bytes();
  bytes.erase(0, bytes.find('\n') + 1);
  ASSERT_TRUE(WriteFileDurably(path_, bytes).ok());
  EXPECT_EQ(EventReader(path_).ReadNew().status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(EventLogTest, ALongLogComesInPiecesOfWholeLines) {
  auto writer = EventWriter::Open(path_, 1);
  ASSERT_TRUE(writer.ok());
  std::vector<size_t> sizes(30, 100'000);
  sizes.push_back(3 << 20);  // One record that is longer than a piece.
  sizes.resize(40, 100'000);
  for (const size_t size : sizes) ASSERT_TRUE((*writer)->Append({{"text", std::string(size, 'x')}}).ok());
  EventReader reader(path_);
  size_t seen = 0;
  do {
    const auto events = reader.ReadNew();
    ASSERT_TRUE(events.ok()) << events.status();
    EXPECT_LE(events->size(), 11u);
    ASSERT_FALSE(events->empty());
    for (const nlohmann::json& event : *events) {
      EXPECT_EQ(event["sequence"], seen + 1);
      EXPECT_EQ(event["text"].get<std::string>().size(), sizes[seen++]);
    }
  } while (reader.more());
  EXPECT_EQ(seen, sizes.size());
  EXPECT_TRUE(reader.ReadNew()->empty());
  EXPECT_EQ((*EventWriter::Open(path_, 2))->last_sequence(), 40);
}

TEST_F(EventLogTest, DamageBetweenThePiecesOfALongLogIsFound) {
  const auto write = [&] {
    auto writer = EventWriter::Open(path_, 1);
    ASSERT_TRUE(writer.ok());
    for (int i = 0; i < 24; ++i) ASSERT_TRUE((*writer)->Append({{"text", std::string(100'000, 'x')}}).ok());
  };
  const auto end_of = [&] {
    EventReader reader(path_);
    absl::Status status;
    do {
      status = reader.ReadNew().status();
    } while (status.ok() && reader.more());
    return status.ok() ? absl::StatusOr<int64_t>(reader.last_sequence()) : status;
  };
  write();
  const std::string whole = Bytes();
  std::string last = whole;
  last[last.size() - 10] ^= 1;
  ASSERT_TRUE(WriteFileDurably(path_, last).ok());
  EXPECT_EQ(end_of().value(), 23);
  // In lines around the end of the first piece.
  for (const size_t line : {9, 10, 11, 12}) {
    std::string damaged = whole;
    damaged[line * whole.size() / 24 + 1000] ^= 1;
    ASSERT_TRUE(WriteFileDurably(path_, damaged).ok());
    EXPECT_EQ(end_of().status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(EventWriter::Open(path_, 2).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(EventLogTest, SequenceContinuesOverAttempts) {
  Write(1, 3);
  auto writer = EventWriter::Open(path_, 2);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->last_sequence(), 3);
  ASSERT_TRUE((*writer)->Append({{"type", "message"}}, /*sync=*/true).ok());
  EXPECT_EQ((*writer)->last_sequence(), 4);
}

TEST_F(EventLogTest, TextsOfAnyBytesStayOnOneLine) {
  auto writer = EventWriter::Open(path_, 1);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append({{"text", std::string("a\nb\0c \xff", 7)}}).ok());
  ASSERT_TRUE((*writer)->Append({{"text", "next"}}).ok());
  const auto events = EventReader(path_).ReadNew();
  ASSERT_TRUE(events.ok()) << events.status();
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0]["text"], std::string("a\nb\0c \xef\xbf\xbd", 9));
}

TEST_F(EventLogTest, OnlyObjectsAreEvents) {
  auto writer = EventWriter::Open(path_, 1);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->Append(nlohmann::json::array({1})).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*writer)->last_sequence(), 0);
}

// Files outlive binaries: this line was written by the first release and must stay readable.
TEST_F(EventLogTest, FramingDoesNotChange) {
  const std::string text = "{\"attempt\":1,\"sequence\":1,\"time_us\":5,\"type\":\"message\"}";
  ASSERT_TRUE(WriteFileDurably(path_, "e322d2e8 " + text + "\n").ok());
  const auto events = EventReader(path_).ReadNew();
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0]["time_us"], 5);
}

}  // namespace
}  // namespace tandem
