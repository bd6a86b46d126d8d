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

// What a shared encoder owns. The encoder goes first, so that its memory is given back when it is free.
struct LoadedModel {
  MemoryReservation memory;
  std::unique_ptr<const Encoder> encoder;
};

struct Slot {
  bool loading = true;
  bool forgotten = false;                  // While loading: goes to the call that loads it, and is not kept.
  int64_t bytes = 0;                       // 0 until they are reserved.
  uint64_t last_use = 0;                   // A counter, not a time: the smallest leaves first.
  std::shared_ptr<const Encoder> encoder;  // Null while loading. Owns a LoadedModel.

  bool idle() const { return !loading && encoder.use_count() == 1; }
};

std::string NameOf(const std::filesystem::path& directory) {
  return Concat("models/", directory.parent_path().filename().string(), "/revisions/", directory.filename().string());
}

}  // namespace

struct ModelCache::Rep {
  explicit Rep(MemoryBudget* budget) : budget(budget) {}

  bool DropLeastUsed();
  // The encoder, when it is loaded; null when the caller is to load it: then its slot is there, loading.
  std::shared_ptr<const Encoder> FindOrBegin(const std::string& key);
  absl::StatusOr<std::shared_ptr<const Encoder>> Load(const std::string& key, Admission admission);
  absl::StatusOr<std::shared_ptr<const Encoder>> Read(const std::string& key, Admission admission);

  MemoryBudget* const budget;
  int64_t evictor = 0;
  absl::Mutex mutex;  // Not held while memory is reserved: the budget calls DropLeastUsed then.
  std::map<std::string, Slot> slots ABSL_GUARDED_BY(mutex);  // By directory.
  uint64_t uses ABSL_GUARDED_BY(mutex) = 0;
};

bool ModelCache::Rep::DropLeastUsed() {
  std::shared_ptr<const Encoder> dropped;  // Freed without the lock.
  const absl::MutexLock lock(&mutex);
  auto oldest = slots.end();
  for (auto slot = slots.begin(); slot != slots.end(); ++slot) {
    if (slot->second.idle() && (oldest == slots.end() || slot->second.last_use < oldest->second.last_use))
      oldest = slot;
  }
  if (oldest == slots.end()) return false;
  dropped = std::move(oldest->second.encoder);
  slots.erase(oldest);
  return true;
}

std::shared_ptr<const Encoder> ModelCache::Rep::FindOrBegin(const std::string& key) {
  const absl::MutexLock lock(&mutex);
  const auto not_loading = [&] {
    mutex.AssertHeld();
    const auto found = slots.find(key);
    return found == slots.end() || !found->second.loading;
  };
  mutex.Await(absl::Condition(&not_loading));
  Slot& slot = slots[key];
  slot.last_use = ++uses;
  return slot.encoder;
}

// Reserves before it reads the weights.
absl::StatusOr<std::shared_ptr<const Encoder>> ModelCache::Rep::Read(const std::string& key, Admission admission) {
  ASSIGN_OR_RETURN(const ModelDirectory directory, OpenModelDirectory(key));
  auto model = std::make_shared<LoadedModel>();
  const int64_t bytes = EncoderMemory(directory);
  ASSIGN_OR_RETURN(model->memory, budget->Reserve(NameOf(key), bytes, admission));
  {
    const absl::MutexLock lock(&mutex);
    slots[key].bytes = bytes;
  }
  ASSIGN_OR_RETURN(model->encoder, Encoder::Load(key));
  return std::shared_ptr<const Encoder>(model, model->encoder.get());
}

// The slot is there and loading.
absl::StatusOr<std::shared_ptr<const Encoder>> ModelCache::Rep::Load(const std::string& key, Admission admission) {
  absl::StatusOr<std::shared_ptr<const Encoder>> encoder = Read(key, admission);
  const absl::MutexLock lock(&mutex);
  Slot& slot = slots[key];
  if (!encoder.ok() || slot.forgotten) {
    slots.erase(key);
    return encoder;
  }
  slot.loading = false;
  slot.encoder = *encoder;
  slot.last_use = ++uses;
  return encoder;
}

ModelCache::ModelCache(MemoryBudget* budget) : rep_(std::make_unique<Rep>(budget)) {
  rep_->evictor = budget->AddEvictor([rep = rep_.get()] { return rep->DropLeastUsed(); });
}

ModelCache::~ModelCache() { rep_->budget->RemoveEvictor(rep_->evictor); }

absl::StatusOr<std::shared_ptr<const Encoder>> ModelCache::Get(const std::filesystem::path& directory,
                                                               Admission admission) {
  const std::string key = directory.lexically_normal().string();
  if (std::shared_ptr<const Encoder> loaded = rep_->FindOrBegin(key); loaded != nullptr) return loaded;
  return rep_->Load(key, admission);
}

void ModelCache::Forget(const std::filesystem::path& directory) {
  std::shared_ptr<const Encoder> dropped;  // Freed without the lock.
  const absl::MutexLock lock(&rep_->mutex);
  const auto found = rep_->slots.find(directory.lexically_normal().string());
  if (found == rep_->slots.end()) return;
  if (found->second.loading) {
    found->second.forgotten = true;
    return;
  }
  dropped = std::move(found->second.encoder);
  rep_->slots.erase(found);
}

int64_t ModelCache::used_bytes() const {
  const absl::MutexLock lock(&rep_->mutex);
  int64_t used = 0;
  for (const auto& [key, slot] : rep_->slots) used += slot.bytes;
  return used;
}

}  // namespace tandem
