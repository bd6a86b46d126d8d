// Snapshots of a real collection with a tiny encoder, restored in the data directory of another server.
#include "server/snapshot/snapshots.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/files.h"
#include "server/base/strings.h"
#include "server/release/release_directory.h"
#include "tests/support/release_world.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

using test::Answer;
using test::kCollection;
using test::kTenant;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kDocuments = 60;

// One server: its stores, its releases and its snapshots.
struct Place {
  explicit Place(const fs::path& root, ReleaseOptions options = {})
      : world(root / "data", options),
        snapshots({.directory = root / "snapshots", .data_directory = root / "data"}, &world.meta(),
                  &world.collections()) {
    EXPECT_TRUE(snapshots.Start().ok());
  }
  test::ReleaseWorld world;
  Snapshots snapshots;
};

class SnapshotsTest : public testing::Test {
 protected:
  SnapshotsTest() : from_(root_.path() / "from"), to_(root_.path() / "to") {}

  SnapshotTask Task(const std::string& snapshot = "s", const std::string& collection = kCollection,
                    const std::string& job = "job") {
    return {.tenant = kTenant,
            .snapshot = snapshot,
            .collection = collection,
            .job = job,
            .progress = [this](int64_t done, int64_t all) {
              EXPECT_LE(done, all);
              ++calls_;
              return calls_ >= stop_at_ ? absl::CancelledError("asked") : absl::OkStatus();
            }};
  }
  // A sealed index, vectors and tombstones beside it, replaced and deleted documents, an evaluation set, two releases.
  void Fill(test::ReleaseWorld& world) {
    world.CreateCollection();
    world.PutMany(0, kDocuments);
    world.CreateEvaluationSet("e", 20);
    world.SetGate({.evaluation_set = "e", .margin = 0.25});
    world.GoLive("r1", "b");
    world.GoLive("r2", "a");
    world.PutMany(kDocuments, 10);
    world.Put({{"d3", "w30 w31"}, {"d4", "w32"}});
    world.Delete({"d5", "d6"});
    world.LiveAtHead();
  }
  // As an operator carries it from one server to the other.
  void Carry(const std::string& id = "s") {
    ASSERT_TRUE(CopyTree(root_.path() / "from/snapshots" / kTenant / id, Carried(id)).ok());
  }
  fs::path Carried(const std::string& id = "s") const { return root_.path() / "to/snapshots" / kTenant / id; }
  void ForgetRevision(test::ReleaseWorld& world, const std::string& id) {
    ASSERT_TRUE(world.meta().DeleteModelRevision(kTenant, "m", id).ok());
    ASSERT_TRUE(RemoveTree(ModelRevisionDirectory(world.directory(), kTenant, "m", id)).ok());
  }
  // Answers to queries that have hits of every kind.
  static std::vector<Answer> Answers(test::ReleaseWorld& world) {
    std::vector<Answer> answers;
    const auto live = world.LiveAtHead();
    for (int i = 0; i < 70; i += 3) answers.push_back(test::Ask(world, *live, Concat("w", i, " w", i / 2)));
    return answers;
  }
  static void ExpectSame(const std::vector<Answer>& a, const std::vector<Answer>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].commit, b[i].commit);
      EXPECT_EQ(a[i].size, b[i].size);
      EXPECT_EQ(a[i].revision, b[i].revision);
      ASSERT_EQ(a[i].hits.size(), b[i].hits.size());
      for (size_t j = 0; j < a[i].hits.size(); ++j) {
        EXPECT_EQ(a[i].hits[j].label, b[i].hits[j].label);
        EXPECT_EQ(a[i].hits[j].score, b[i].hits[j].score);  // Bit for bit.
      }
    }
  }
  // Nothing of a restore that did not come to its end.
  void ExpectNothingMade() {
    EXPECT_TRUE(absl::IsNotFound(to_.world.meta().GetCollection(kTenant, kCollection).status()));
    EXPECT_TRUE(absl::IsNotFound(to_.world.collections().Documents(kTenant, kCollection).status()));
    EXPECT_THAT(ListDirectories(CollectionsRoot(to_.world.directory()) / kTenant).value(), IsEmpty());
  }
  static void Corrupt(const fs::path& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(fs::file_size(path) / 2));
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(fs::file_size(path) / 2));
    file.put(byte);
    ASSERT_TRUE(file.good());
  }

  test::TemporaryDirectory root_;
  Place from_, to_;
  int64_t calls_ = 0, stop_at_ = INT64_MAX;
};

TEST_F(SnapshotsTest, ARestoredCollectionAnswersWithTheSameIdsAndScoresAndEmbedsNothing) {
  Fill(from_.world);
  const SnapshotManifest made = from_.snapshots.Create(Task()).value();
  EXPECT_EQ(made.documents, kDocuments + 8);
  EXPECT_EQ(made.commit, kDocuments + 14);
  EXPECT_EQ(made.release, "r2");
  EXPECT_EQ(made.revision, "a");
  const std::vector<Answer> expected = Answers(from_.world);
  Carry();
  ForgetRevision(to_.world, "a");
  ASSERT_TRUE(to_.snapshots.Restore(Task()).ok());
  // It is level at once: there was no time to embed 68 documents, and nobody asked to.
  const auto live = to_.world.collections().Live(kTenant, kCollection).value();
  EXPECT_EQ(live->index->snapshot()->commit(), made.commit);
  ExpectSame(Answers(to_.world), expected);
  const CollectionRecord collection = to_.world.meta().GetCollection(kTenant, kCollection).value();
  EXPECT_EQ(collection.gate.evaluation_set, "e");
  EXPECT_EQ(collection.gate.margin, 0.25);
  EXPECT_EQ(collection.live_release, "r2");
  EXPECT_EQ(collection.previous_release, "");
  EXPECT_EQ(to_.world.meta().ReadEvaluationQueries(kTenant, kCollection, "e")->size(), 20u);
  EXPECT_EQ(to_.world.meta().GetModelRevision(kTenant, "m", "a")->sha256,
            from_.world.meta().GetModelRevision(kTenant, "m", "a")->sha256);
  EXPECT_THAT(to_.world.documents()->Followers().value(), ElementsAre(testing::Key("r2")));
  // And it lives on, over a restart too.
  to_.world.PutMany(200, 5);
  test::Oracle oracle(&to_.world);
  EXPECT_EQ(oracle.Check(test::Ask(to_.world, *to_.world.LiveAtHead(), "w201 w202")), "");
  to_.world.Restart();
  EXPECT_EQ(oracle.Check(test::Ask(to_.world, *to_.world.LiveAtHead(), "w201 w202")), "");
}

TEST_F(SnapshotsTest, OnTheSameServerItBecomesAnotherCollectionBesideTheFirst) {
  Fill(from_.world);
  ASSERT_TRUE(from_.snapshots.Create(Task()).ok());
  const std::vector<Answer> expected = Answers(from_.world);
  ASSERT_TRUE(from_.snapshots.Restore(Task("s", "copy")).ok());
  from_.world.Delete({"d10", "d11", "d12"});
  const auto copy = from_.world.collections().Live(kTenant, "copy").value();
  std::vector<Answer> answers;
  for (const Answer& answer : expected) answers.push_back(test::Ask(from_.world, *copy, answer.query));
  ExpectSame(answers, expected);
  ASSERT_TRUE(from_.world.collections().Delete(kTenant, kCollection).ok());
  ASSERT_TRUE(from_.snapshots.Restore(Task()).ok());  // The files are still the snapshot's, too.
  ExpectSame(Answers(from_.world), expected);
}

TEST_F(SnapshotsTest, ACollectionWithoutLiveReleaseIsItsDocuments) {
  from_.world.CreateCollection();
  from_.world.PutMany(0, 5);
  const SnapshotManifest made = from_.snapshots.Create(Task()).value();
  EXPECT_EQ(made.release, "");
  EXPECT_EQ(made.documents, 5);
  Carry();
  ASSERT_TRUE(to_.snapshots.Restore(Task()).ok());
  EXPECT_EQ(to_.world.documents()->Count().value(), 5);
  EXPECT_TRUE(absl::IsFailedPrecondition(to_.world.collections().Live(kTenant, kCollection).status()));
  to_.world.GoLive("r1", "a");
  EXPECT_EQ(to_.world.LiveAtHead()->index->snapshot()->size(), 5);
}

TEST_F(SnapshotsTest, WritesAndSealsThatGoOnMeanwhileLeaveItOfOneMoment) {
  Place busy(root_.path() / "busy", {.seal_fresh = 3});
  busy.world.CreateCollection();
  busy.world.PutMany(0, 20);
  busy.world.GoLive("r1", "a");
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; !done; ++i) {
      busy.world.Put({{Concat("d", i % 40), Concat("w", i % 50, " w", i % 7)}});
      if (i % 5 == 0) busy.world.Delete({Concat("d", (i + 3) % 40)});
      absl::SleepFor(absl::Milliseconds(1));
    }
  });
  for (int i = 0; i < 8; ++i) {
    const std::string id = Concat("s", i);
    const absl::StatusOr<SnapshotManifest> made = busy.snapshots.Create(Task(id));
    ASSERT_TRUE(made.ok()) << made.status();
    absl::SleepFor(absl::Milliseconds(20));
  }
  done = true;
  writer.join();
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(CopyTree(root_.path() / "busy/snapshots" / kTenant / Concat("s", i), Carried(Concat("s", i))).ok());
    const SnapshotManifest manifest = to_.snapshots.Restore(Task(Concat("s", i))).value();
    test::Oracle oracle(&to_.world);
    const auto live = to_.world.LiveAtHead();
    EXPECT_EQ(live->index->snapshot()->commit(), manifest.commit);
    EXPECT_EQ(live->index->snapshot()->size(), manifest.documents);
    EXPECT_EQ(oracle.Check(test::Ask(to_.world, *live, "w3 w4")), "");
    ASSERT_TRUE(to_.world.collections().Delete(kTenant, kCollection).ok());
  }
}

TEST_F(SnapshotsTest, EachDamagedFileIsNamedAndNothingIsMade) {
  Fill(from_.world);
  const SnapshotManifest made = from_.snapshots.Create(Task()).value();
  std::vector<std::string> paths;
  for (const SnapshotFile& file : made.files) paths.push_back(file.path);
  EXPECT_THAT(paths, Contains("documents.db"));
  EXPECT_THAT(paths, Contains("meta.db"));
  EXPECT_THAT(paths, Contains(HasSubstr("release/sealed-")));
  EXPECT_THAT(paths, Contains("model/model.safetensors"));
  for (const SnapshotFile& file : made.files) {
    for (const bool cut : {false, true}) {
      if (file.bytes == 0) continue;
      ASSERT_TRUE(RemoveTree(Carried()).ok());
      Carry();
      if (cut) {
        fs::resize_file(Carried() / file.path, static_cast<uintmax_t>(file.bytes - 1));
      } else {
        Corrupt(Carried() / file.path);
      }
      const absl::Status refused = to_.snapshots.Restore(Task()).status();
      EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
      EXPECT_THAT(refused.message(), HasSubstr(Concat("snapshots/s: ", file.path, " is damaged")));
    }
    ASSERT_TRUE(RemoveTree(Carried() / file.path).ok());
    EXPECT_THAT(to_.snapshots.Restore(Task()).status().message(), HasSubstr(Concat(file.path, " is missing")));
  }
  ExpectNothingMade();
}

TEST_F(SnapshotsTest, ADamagedOrNewerManifestIsRefused) {
  Fill(from_.world);
  ASSERT_TRUE(from_.snapshots.Create(Task()).ok());
  Carry();
  const fs::path path = Carried() / kSnapshotManifestFile;
  const std::string text = ReadFile(path).value();
  const auto replaced = [&](const std::string& what, const std::string& with) {
    std::string changed = text;
    changed.replace(changed.find(what), what.size(), with);
    EXPECT_TRUE(WriteFileDurably(path, changed).ok());
    return to_.snapshots.Restore(Task()).status();
  };
  EXPECT_TRUE(absl::IsDataLoss(replaced("\"documents\": 68", "\"documents\": 69")));
  EXPECT_TRUE(absl::IsDataLoss(replaced("{", "[")));
  const absl::Status newer = replaced("\"format\": 1", "\"format\": 2");
  EXPECT_TRUE(absl::IsFailedPrecondition(newer)) << newer;
  EXPECT_THAT(newer.message(), HasSubstr("format 2 is newer than this server's 1"));
  ExpectNothingMade();
  EXPECT_THAT(to_.snapshots.List(kTenant, {}).value(), IsEmpty());  // Left out, not an error.
}

TEST_F(SnapshotsTest, AManifestThatLeadsOutOfTheSnapshotIsRefused) {
  SnapshotManifest manifest{.collection = "c"};
  for (const char* path : {"../x", "/etc/passwd", "release/../../x", "release", "other/x", "model//x", ""}) {
    manifest.files = {{path, 1, ""}};
    EXPECT_TRUE(absl::IsDataLoss(ManifestFromText(ManifestText(manifest)).status())) << path;
  }
  manifest.files = {{"model/1_Pooling/config.json", 1, ""}, {"documents.db", 2, ""}};
  EXPECT_EQ(ManifestFromText(ManifestText(manifest))->files.size(), 2u);
}

TEST_F(SnapshotsTest, ATakenIdIsRefusedAndTheJobThatHasDoneItIsNot) {
  Fill(from_.world);
  const SnapshotManifest made = from_.snapshots.Create(Task()).value();
  EXPECT_TRUE(absl::IsAlreadyExists(from_.snapshots.Create(Task("s", kCollection, "another job")).status()));
  EXPECT_EQ(from_.snapshots.Create(Task())->create_time, made.create_time);
  Carry();
  ASSERT_TRUE(to_.snapshots.Restore(Task()).ok());
  EXPECT_TRUE(to_.snapshots.Restore(Task()).ok());
  const absl::Status taken = to_.snapshots.Restore(Task("s", kCollection, "another job")).status();
  EXPECT_TRUE(absl::IsAlreadyExists(taken)) << taken;
  EXPECT_THAT(taken.message(), HasSubstr("collections/faq exists already"));
}

TEST_F(SnapshotsTest, AModelRevisionWithOtherWeightsIsNotReplaced) {
  Fill(from_.world);
  ASSERT_TRUE(from_.snapshots.Create(Task()).ok());
  Carry();
  ModelRevisionRecord other = to_.world.meta().GetModelRevision(kTenant, "m", "b").value();
  ForgetRevision(to_.world, "a");
  other.id = "a";
  ASSERT_TRUE(to_.world.meta().AddModelRevision(other).ok());
  const absl::Status refused = to_.snapshots.Restore(Task()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("models/m/revisions/a: is there already with other weights"));
  ExpectNothingMade();
}

TEST_F(SnapshotsTest, ACancelAtAnyPointLeavesNothingBehind) {
  Fill(from_.world);
  ASSERT_TRUE(from_.snapshots.Create(Task()).ok());
  Carry();
  ForgetRevision(to_.world, "a");
  const int64_t create_calls = calls_;
  calls_ = 0;
  ASSERT_TRUE(to_.snapshots.Restore(Task()).ok());
  const int64_t restore_calls = calls_;
  ASSERT_TRUE(to_.world.collections().Delete(kTenant, kCollection).ok());
  ForgetRevision(to_.world, "a");
  EXPECT_GT(create_calls, 5);
  EXPECT_GT(restore_calls, 5);
  for (stop_at_ = 1; stop_at_ <= create_calls; ++stop_at_) {
    calls_ = 0;
    EXPECT_TRUE(absl::IsCancelled(from_.snapshots.Create(Task("t")).status())) << stop_at_;
    EXPECT_THAT(ListDirectories(root_.path() / "from/snapshots" / kTenant).value(), ElementsAre("s"));
  }
  for (stop_at_ = 1; stop_at_ <= restore_calls; ++stop_at_) {
    calls_ = 0;
    EXPECT_TRUE(absl::IsCancelled(to_.snapshots.Restore(Task()).status())) << stop_at_;
    ExpectNothingMade();
    EXPECT_FALSE(fs::exists(ModelRevisionDirectory(to_.world.directory(), kTenant, "m", "a")));
  }
}

TEST_F(SnapshotsTest, WhatWasBrokenOffIsClearedAtTheNextStart) {
  Fill(from_.world);
  ASSERT_TRUE(from_.snapshots.Create(Task()).ok());
  const fs::path half = root_.path() / "from/snapshots" / kTenant / ".staging-t-x";
  ASSERT_TRUE(CreateDirectories(half).ok());
  EXPECT_EQ(from_.snapshots.List(kTenant, {})->size(), 1u);
  ASSERT_TRUE(from_.snapshots.Start().ok());
  EXPECT_FALSE(fs::exists(half));
  const fs::path collection = CollectionsRoot(from_.world.directory()) / kTenant / ".staging-copy-x";
  ASSERT_TRUE(CreateDirectories(collection).ok());
  from_.world.Restart();
  EXPECT_FALSE(fs::exists(collection));
}

TEST_F(SnapshotsTest, TenantsNeverSeeEachOthersSnapshots) {
  Fill(from_.world);
  ASSERT_TRUE(from_.snapshots.Create(Task()).ok());
  EXPECT_THAT(from_.snapshots.List("other", {}).value(), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Get("other", "s").status()));
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Delete("other", "s")));
  const auto nobody = [](std::string_view) { return absl::InternalError("somebody got a piece"); };
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Download("other", "s", 1 << 20, nobody)));
  SnapshotTask task = Task("s", "stolen");
  task.tenant = "other";
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Restore(task).status()));
  task.snapshot = "t";
  task.collection = kCollection;
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Create(task).status()));
}

TEST_F(SnapshotsTest, TheTarFileUnpacksToWhatIsInTheDirectory) {
  Fill(from_.world);
  const SnapshotManifest made = from_.snapshots.Create(Task()).value();
  for (const size_t piece : {size_t{512}, size_t{100'000}, size_t{1} << 20}) {
    const fs::path tar = root_.path() / Concat("s", piece, ".tar"), out = root_.path() / Concat("out", piece);
    std::ofstream file(tar, std::ios::binary);
    size_t largest = 0;
    ASSERT_TRUE(from_.snapshots
                    .Download(kTenant, "s", piece,
                              [&](std::string_view bytes) {
                                largest = std::max(largest, bytes.size());
                                file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
                                return absl::OkStatus();
                              })
                    .ok());
    file.close();
    EXPECT_LE(largest, piece);
    ASSERT_TRUE(CreateDirectories(out).ok());
    ASSERT_EQ(std::system(Concat("tar -C ", out.string(), " -xf ", tar.string()).c_str()), 0);
    const fs::path from = root_.path() / "from/snapshots" / kTenant / "s";
    ASSERT_EQ(ListFiles(out / "s").value(), ListFiles(from).value());
    for (const SnapshotFile& each : made.files) EXPECT_EQ(FileSha256(out / "s" / each.path).value(), each.sha256);
    EXPECT_EQ(ReadFile(out / "s/manifest.json").value(), ReadFile(from / "manifest.json").value());
  }
  int pieces = 0;
  const absl::Status gone = from_.snapshots.Download(kTenant, "s", 4096, [&](std::string_view) {
    return ++pieces == 3 ? absl::CancelledError("the client has gone") : absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsCancelled(gone)) << gone;
  EXPECT_EQ(pieces, 3);
}

TEST_F(SnapshotsTest, AListIsByIdInPagesAndADeletedOneIsGone) {
  Fill(from_.world);
  for (const char* id : {"b", "a", "c"}) ASSERT_TRUE(from_.snapshots.Create(Task(id)).ok());
  const auto ids = [&](const Page& page) {
    std::vector<std::string> ids;
    const std::vector<SnapshotManifest> manifests = from_.snapshots.List(kTenant, page).value();
    for (const SnapshotManifest& manifest : manifests) ids.push_back(manifest.id);
    return ids;
  };
  EXPECT_THAT(ids({.size = 2, .after = ""}), ElementsAre("a", "b"));
  EXPECT_THAT(ids({.size = 2, .after = "b"}), ElementsAre("c"));
  ASSERT_TRUE(from_.snapshots.Delete(kTenant, "b").ok());
  EXPECT_THAT(ids({}), ElementsAre("a", "c"));
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Delete(kTenant, "b")));
  EXPECT_TRUE(absl::IsNotFound(from_.snapshots.Restore(Task("b", "copy")).status()));
}

}  // namespace
}  // namespace tandem
