#include "server/encoder/model_cache.h"

#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/model_directory.h"

namespace tandem {
namespace {

struct Slot {
  bool loading = true;
  bool forgotten = false;                  // While loading: goes to the call that loads it, and is not kept.
  int64_t bytes = 0;                       // Reserved while loading.
  uint64_t last_use = 0;                   // A counter, not a time: the smallest leaves first.
  std::shared_ptr<const Encoder> encoder;  // Null while loading.

  bool idle() const { return !loading && encoder.use_count() == 1; }
};

}  // namespace

struct ModelCache::Rep {
  explicit Rep(int64_t budget) : budget(budget) {}

  absl::Status Reserve(const std::string& key, int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  bool DropLeastUsed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::StatusOr<std::shared_ptr<const Encoder>> Load(const std::string& key, int64_t bytes);

  const int64_t budget;
  absl::Mutex mutex;
  std::map<std::string, Slot> slots ABSL_GUARDED_BY(mutex);  // By directory.
  int64_t used ABSL_GUARDED_BY(mutex) = 0;
  uint64_t uses ABSL_GUARDED_BY(mutex) = 0;
};

bool ModelCache::Rep::DropLeastUsed() {
  auto oldest = slots.end();
  for (auto slot = slots.begin(); slot != slots.end(); ++slot) {
    if (slot->second.idle() && (oldest == slots.end() || slot->second.last_use < oldest->second.last_use))
      oldest = slot;
  }
  if (oldest == slots.end()) return false;
  used -= oldest->second.bytes;
  slots.erase(oldest);
  return true;
}

absl::Status ModelCache::Rep::Reserve(const std::string& key, int64_t bytes) {
  while (used + bytes > budget && DropLeastUsed()) {
  }
  if (used + bytes > budget) {
    return absl::ResourceExhaustedError(Concat("the model takes ", bytes, " bytes of memory; ", used,
                                               " of the budget of ", budget,
                                               " bytes are in use by models that are needed now"));
  }
  used += bytes;
  slots[key].bytes = bytes;
  return absl::OkStatus();
}

// The slot is reserved and loading.
absl::StatusOr<std::shared_ptr<const Encoder>> ModelCache::Rep::Load(const std::string& key, int64_t bytes) {
  absl::StatusOr<std::unique_ptr<const Encoder>> encoder = Encoder::Load(key);
  const absl::MutexLock lock(&mutex);
  if (!encoder.ok()) {
    used -= bytes;
    slots.erase(key);
    return encoder.status();
  }
  Slot& slot = slots[key];
  if (slot.forgotten) {
    used -= bytes;
    slots.erase(key);
    return std::shared_ptr<const Encoder>(*std::move(encoder));
  }
  slot.loading = false;
  slot.encoder = *std::move(encoder);
  slot.last_use = ++uses;
  return slot.encoder;
}

ModelCache::ModelCache(int64_t memory_budget_bytes) : rep_(std::make_unique<Rep>(memory_budget_bytes)) {}

ModelCache::~ModelCache() = default;

absl::StatusOr<std::shared_ptr<const Encoder>> ModelCache::Get(const std::filesystem::path& directory) {
  const std::string key = directory.lexically_normal().string();
  int64_t bytes = 0;
  {
    const absl::MutexLock lock(&rep_->mutex);
    const auto found = rep_->slots.find(key);
    if (found != rep_->slots.end() && !found->second.loading) {
      found->second.last_use = ++rep_->uses;
      return found->second.encoder;
    }
  }
  {
    ASSIGN_OR_RETURN(const ModelDirectory model, OpenModelDirectory(directory));
    bytes = EncoderMemory(model);
  }
  {
    const absl::MutexLock lock(&rep_->mutex);
    const auto not_loading = [&] {
      rep_->mutex.AssertHeld();
      const auto found = rep_->slots.find(key);
      return found == rep_->slots.end() || !found->second.loading;
    };
    rep_->mutex.Await(absl::Condition(&not_loading));
    const auto found = rep_->slots.find(key);
    if (found != rep_->slots.end()) {
      found->second.last_use = ++rep_->uses;
      return found->second.encoder;
    }
    RETURN_IF_ERROR(rep_->Reserve(key, bytes));
  }
  return rep_->Load(key, bytes);
}

void ModelCache::Forget(const std::filesystem::path& directory) {
  const absl::MutexLock lock(&rep_->mutex);
  const auto found = rep_->slots.find(directory.lexically_normal().string());
  if (found == rep_->slots.end()) return;
  if (found->second.loading) {
    found->second.forgotten = true;
    return;
  }
  rep_->used -= found->second.bytes;
  rep_->slots.erase(found);
}

int64_t ModelCache::used_bytes() const {
  const absl::MutexLock lock(&rep_->mutex);
  return rep_->used;
}

}  // namespace tandem
