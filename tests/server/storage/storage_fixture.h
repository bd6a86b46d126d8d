#pragma once
// A directory for database files, and rows that tests need before they come to the point.

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/storage/document_store.h"
#include "server/storage/meta_store.h"

// Takes away what meta.db got after the format that has jobs' results: for tests of older files.
#define TANDEM_TEST_UNDO_SINCE_MINING                                                                       \
  "ALTER TABLE releases DROP COLUMN ivf_lists; ALTER TABLE releases DROP COLUMN ivf_nprobe;"                \
  "ALTER TABLE releases DROP COLUMN pq_subquantizers; ALTER TABLE releases DROP COLUMN code_storage;"       \
  "ALTER TABLE releases DROP COLUMN rerank_factor; ALTER TABLE collections DROP COLUMN fields;"             \
  "ALTER TABLE collections DROP COLUMN keyword_index; ALTER TABLE collections DROP COLUMN external_metric;" \
  "ALTER TABLE collections DROP COLUMN external_dimensions;"                                                \
  "DROP TABLE judgements; DROP TABLE feedback_policies;"

namespace tandem {

class StorageFixture : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/storage-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path File(const std::string& name) const { return directory_ / name; }

  std::filesystem::path directory_;
};

class MetaStoreFixture : public StorageFixture {
 protected:
  void SetUp() override {
    StorageFixture::SetUp();
    Reopen();
  }
  void Reopen() {
    store_.reset();
    store_ = MetaStore::Open(File("meta.db")).value();
  }

  void AddRevision(const std::string& id, const std::string& model = "m") {
    ModelRevisionRecord revision;
    revision.tenant = "t";
    revision.model = model;
    revision.id = id;
    revision.create_time = absl::FromUnixMicros(1'700'000'000'000'001);
    revision.architecture = "BertModel";
    revision.parameters = 22'713'216;
    revision.contract.query_prompt = "query: ";
    revision.contract.max_length = 256;
    revision.contract.dimensions = 384;
    revision.validation.emplace().metrics.retrieval = RetrievalMetrics{0.1 + 0.2, 0.5, 0.25, 0.125, 7};
    revision.sha256 = "00ff";
    ASSERT_TRUE(store_->AddModelRevision(revision).ok());
  }
  void AddDataset(const std::string& id) { ASSERT_TRUE(store_->CreateDataset("t", id, "shown", nullptr).ok()); }
  JobRecord MakeJob(const std::string& id) const {
    JobRecord job;
    job.tenant = "t";
    job.id = id;
    job.create_time = absl::FromUnixMicros(1'700'000'000'000'002);
    job.dataset = "d";
    job.base_revision = "models/m/revisions/r1";
    job.target_model = "m";
    return job;
  }

  std::unique_ptr<MetaStore> store_;
};

}  // namespace tandem
