#pragma once
// What the document_store*.cc files share: one writing connection, a few reading ones, and the head.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/storage/database.h"
#include "server/storage/document_store.h"

namespace tandem {

struct DocumentStore::Rep {
  // More readers at once wait for one of these; each is a file descriptor and a page cache of 2 MB at most.
  static constexpr int kMaxReaders = 4;

  Rep(std::filesystem::path file, std::unique_ptr<Database> connection)
      : path(std::move(file)), writer(std::move(connection)) {}

  // Database::Read on a connection that no writer and no other reader uses.
  template <typename Body>
  std::invoke_result_t<Body&, Database&> Read(Body body) {
    absl::StatusOr<std::unique_ptr<Database>> reader = Borrow();
    if (!reader.ok()) return reader.status();
    auto result = (*reader)->Read(std::move(body));
    Return(*std::move(reader));
    return result;
  }

  absl::StatusOr<std::unique_ptr<Database>> Borrow();
  void Return(std::unique_ptr<Database> reader);
  void RaiseHead(int64_t commit);  // Two writers may come here in the other order.

  const std::filesystem::path path;
  const std::unique_ptr<Database> writer;

  absl::Mutex readers_mutex;
  std::vector<std::unique_ptr<Database>> idle_readers ABSL_GUARDED_BY(readers_mutex);
  int open_readers ABSL_GUARDED_BY(readers_mutex) = 0;

  mutable absl::Mutex head_mutex;
  int64_t head ABSL_GUARDED_BY(head_mutex) = 0;
  // A Wake that finds nobody waiting is kept for the next wait, so that a follower cannot miss it between two waits.
  int64_t wakes ABSL_GUARDED_BY(head_mutex) = 0;
  int waiters ABSL_GUARDED_BY(head_mutex) = 0;
  bool pending_wake ABSL_GUARDED_BY(head_mutex) = false;
};

}  // namespace tandem
