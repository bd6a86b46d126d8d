#include "server/base/memory_budget.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr size_t kUsersInARefusal = 3;

}  // namespace

MemoryReservation::MemoryReservation(MemoryReservation&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), id_(other.id_) {}

MemoryReservation& MemoryReservation::operator=(MemoryReservation&& other) noexcept {
  if (this == &other) return *this;
  if (budget_ != nullptr) budget_->Release(id_);
  budget_ = std::exchange(other.budget_, nullptr);
  id_ = other.id_;
  return *this;
}

MemoryReservation::~MemoryReservation() {
  if (budget_ != nullptr) budget_->Release(id_);
}

int64_t MemoryReservation::bytes() const {
  if (budget_ == nullptr) return 0;
  const absl::MutexLock lock(&budget_->mutex_);
  return budget_->entries_.at(id_).bytes;
}

absl::Status MemoryReservation::Resize(int64_t bytes) { return budget_->Resize(id_, bytes); }

void MemoryReservation::Force(int64_t bytes) { budget_->Force(id_, bytes); }

MemoryBudget::MemoryBudget(int64_t total_bytes) : total_(total_bytes) {}

MemoryBudget::~MemoryBudget() = default;

absl::StatusOr<MemoryReservation> MemoryBudget::Reserve(std::string what, int64_t bytes, Admission admission) {
  int64_t id = 0;
  {
    const absl::MutexLock lock(&mutex_);
    id = ++last_id_;
    entries_[id].what = std::move(what);
  }
  MemoryReservation reservation(this, id);
  switch (admission) {
    case Admission::kIfItFits:
      RETURN_IF_ERROR(Resize(id, bytes));
      break;
    case Admission::kAlways:
      Force(id, bytes);
      break;
  }
  return reservation;
}

absl::Status MemoryBudget::Resize(int64_t id, int64_t bytes) {
  bool idle_left = bytes <= total_;  // What can never fit drops nothing.
  for (;;) {
    {
      const absl::MutexLock lock(&mutex_);
      MemoryUse& entry = entries_.at(id);
      const int64_t more = bytes - entry.bytes;
      if (more <= 0 || more <= total_ - used_) {
        entry.bytes = bytes;
        used_ += more;
        return absl::OkStatus();
      }
      if (!idle_left) return Refusal(entry.what, more);
    }
    idle_left = EvictOne();
  }
}

void MemoryBudget::Force(int64_t id, int64_t bytes) {
  {
    const absl::MutexLock lock(&mutex_);
    MemoryUse& entry = entries_.at(id);
    used_ += bytes - entry.bytes;
    entry.bytes = bytes;
  }
  MakeRoom();
}

void MemoryBudget::Release(int64_t id) {
  const absl::MutexLock lock(&mutex_);
  const auto entry = entries_.find(id);
  used_ -= entry->second.bytes;
  entries_.erase(entry);
}

int64_t MemoryBudget::AddEvictor(Evictor evictor) {
  const absl::MutexLock lock(&eviction_);
  const int64_t id = evictors_.empty() ? 1 : evictors_.rbegin()->first + 1;
  evictors_[id] = std::move(evictor);
  return id;
}

void MemoryBudget::RemoveEvictor(int64_t id) {
  const absl::MutexLock lock(&eviction_);
  evictors_.erase(id);
}

bool MemoryBudget::EvictOne() {
  const absl::MutexLock lock(&eviction_);
  return std::any_of(evictors_.begin(), evictors_.end(), [](const auto& evictor) { return evictor.second(); });
}

int64_t MemoryBudget::used() const {
  const absl::MutexLock lock(&mutex_);
  return used_;
}

bool MemoryBudget::over() const { return used() > total_; }

bool MemoryBudget::MakeRoom() {
  while (over()) {
    if (!EvictOne()) return false;
  }
  return true;
}

std::vector<MemoryUse> MemoryBudget::List() const {
  const absl::MutexLock lock(&mutex_);
  return Uses();
}

std::vector<MemoryUse> MemoryBudget::Uses() const {
  std::vector<MemoryUse> uses;
  for (const auto& [id, entry] : entries_) {
    if (entry.bytes > 0) uses.push_back(entry);
  }
  std::stable_sort(uses.begin(), uses.end(), [](const MemoryUse& a, const MemoryUse& b) { return a.bytes > b.bytes; });
  return uses;
}

absl::Status MemoryBudget::Refusal(const std::string& what, int64_t more) const {
  std::string message = Concat(what, " needs ", FormatMemory(more), " of memory, but ", FormatMemory(used_),
                               " of the budget of ", FormatMemory(total_), " are in use");
  const std::vector<MemoryUse> uses = Uses();
  for (size_t i = 0; i < std::min(uses.size(), kUsersInARefusal); ++i) {
    absl::StrAppend(&message, i == 0 ? " (" : ", ", uses[i].what, " ", FormatMemory(uses[i].bytes));
  }
  if (uses.size() > kUsersInARefusal) absl::StrAppend(&message, " and ", uses.size() - kUsersInARefusal, " more");
  if (!uses.empty()) message += ")";
  return absl::ResourceExhaustedError(message + ": free some or raise --memory-budget");
}

std::string FormatMemory(int64_t bytes) {
  if (bytes < int64_t{1} << 20) return Concat(bytes, " bytes");
  return absl::StrFormat("%.1f MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace tandem
