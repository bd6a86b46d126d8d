#pragma once
// What the services call: the server's rooms and settings, owned by main and alive as long as the RpcServer.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "server/base/memory_budget.h"
#include "server/encoder/embedding_queue.h"
#include "server/encoder/model_cache.h"
#include "server/jobs/feedback.h"
#include "server/jobs/training_jobs.h"
#include "server/release/collections.h"
#include "server/rpc/call_pool.h"
#include "server/search/searcher.h"
#include "server/snapshot/snapshots.h"
#include "server/storage/meta_store.h"

namespace tandem {

struct Rooms {
  MetaStore* meta = nullptr;
  TrainingJobs* jobs = nullptr;
  Collections* collections = nullptr;
  Feedback* feedback = nullptr;
  Snapshots* snapshots = nullptr;
  Searcher* searcher = nullptr;
  EmbeddingQueue* embeddings = nullptr;
  ModelCache* models = nullptr;
  MemoryBudget* memory = nullptr;
  CallPool* pool = nullptr;  // Set by RpcServer.

  std::filesystem::path data_directory;
  std::filesystem::path model_import_directory;  // Empty: ImportModel takes files from streams only.
  std::string version;
  std::map<std::string, std::string> libraries;  // Name to version.
  absl::Time start_time;
};

}  // namespace tandem
