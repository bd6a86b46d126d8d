#include "tests/support/disk_steps/step_log.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/disk_steps/step_name.h"

namespace tandem::test {
namespace {

constexpr uint64_t kMagic = 0x3153504554535344;  // "DSSTEPS1"
constexpr char kVariable[] = "DISK_STEPS_LOG";
constexpr size_t kHeaderBytes = 16 << 10;

// Before path, new path and data; the next record begins at a multiple of 8.
struct RecordHeader {
  uint64_t size;  // Of the record.
  uint64_t inode, parent, new_parent;
  int64_t offset;
  uint64_t data_size;
  uint32_t path_size, new_path_size;
  int32_t process;
  StepKind kind;
};

[[noreturn]] void Die(const char* what, const std::string& file) {
  std::fprintf(stderr, "disk steps: %s %s: %s\n", what, file.c_str(), std::strerror(errno));
  std::abort();
}

// System calls and not libc's functions: those are the recorded ones.
int OpenFile(const std::string& file, int flags) {
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, file.c_str(), flags | O_CLOEXEC, 0600));
}

void* MapFile(const std::string& file, int fd, size_t size) {
  void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) Die("cannot map", file);
  close(fd);
  return address;
}

void Copy(std::string_view text, char* to, size_t capacity) {
  const size_t size = std::min(text.size(), capacity - 1);
  std::memcpy(to, text.data(), size);
  to[size] = '\0';
}

}  // namespace

// Everything but `steps` and `stopped` under the mutex.
struct StepLog::Header {
  uint64_t magic;
  uint64_t keep_data;
  pthread_mutex_t mutex;
  std::atomic<int64_t> steps;
  std::atomic<int32_t> stopped;
  std::atomic<uint64_t> bytes;  // Of whole records.
  int64_t stop_after;           // How many more of that name until the stop; 0: none.
  char stop_name[512];
  char directory[4096];
  char finding[512];
};

StepLog::StepLog(std::string file, Header* header, size_t size)
    : file_(std::move(file)), header_(header), size_(size), directory_(header->directory) {}

StepLog::~StepLog() { munmap(header_, size_); }

char* StepLog::records() const { return reinterpret_cast<char*>(header_) + kHeaderBytes; }

std::unique_ptr<StepLog> StepLog::Create(const std::filesystem::path& file, const std::filesystem::path& directory,
                                         const Options& options) {
  static_assert(sizeof(Header) <= kHeaderBytes);
  const size_t size = kHeaderBytes + options.capacity_bytes;
  const int fd = OpenFile(file, O_RDWR | O_CREAT | O_TRUNC);
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(size)) != 0) Die("cannot make", file);
  auto* header = new (MapFile(file, fd, size)) Header();
  header->magic = kMagic;
  header->keep_data = options.keep_data;
  Copy(directory.string(), header->directory, sizeof(header->directory));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&header->mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return std::unique_ptr<StepLog>(new StepLog(file, header, size));
}

std::unique_ptr<StepLog> StepLog::OfThisProcess() {
  const char* file = getenv(kVariable);
  if (file == nullptr) return nullptr;
  const int fd = OpenFile(file, O_RDWR);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) != 0 || stat.st_size < static_cast<off_t>(kHeaderBytes)) Die("cannot open", file);
  auto* header = static_cast<Header*>(MapFile(file, fd, stat.st_size));
  if (header->magic != kMagic) Die("is no log:", file);
  return std::unique_ptr<StepLog>(new StepLog(file, header, stat.st_size));
}

std::vector<std::string> StepLog::Environment(const std::filesystem::path& library) const {
  return {"LD_PRELOAD=" + library.string(), std::string(kVariable) + "=" + file_};
}

int64_t StepLog::steps() const { return header_->steps.load(); }
int32_t StepLog::stopped_process() const { return header_->stopped.load(); }
bool StepLog::keeps_data() const { return header_->keep_data != 0; }

std::vector<Step> StepLog::Read() const {
  const Lock lock(const_cast<StepLog*>(this));
  std::vector<Step> steps;
  steps.reserve(header_->steps.load());
  for (const char* at = records(); at != records() + header_->bytes.load();) {
    RecordHeader record;
    std::memcpy(&record, at, sizeof(record));
    const char* text = at + sizeof(record);
    const char* new_text = text + record.path_size;
    steps.push_back(Step{.kind = record.kind,
                         .process = record.process,
                         .inode = record.inode,
                         .parent = record.parent,
                         .new_parent = record.new_parent,
                         .offset = record.offset,
                         .path = std::string(text, record.path_size),
                         .new_path = std::string(new_text, record.new_path_size),
                         .data = std::string_view(new_text + record.new_path_size, record.data_size)});
    at += record.size;
  }
  return steps;
}

void StepLog::StopBefore(const std::string& name, int64_t occurrence) {
  const Lock lock(this);
  Copy(name, header_->stop_name, sizeof(header_->stop_name));
  header_->stop_after = name.empty() ? 0 : occurrence;
  header_->stopped.store(0);
}

std::string StepLog::Finding() const {
  const Lock lock(const_cast<StepLog*>(this));
  return header_->finding;
}

StepLog::Lock::Lock(StepLog* log) : log_(log) {
  // A holder that died left whole records: what counts is written last.
  if (pthread_mutex_lock(&log_->header_->mutex) == EOWNERDEAD) pthread_mutex_consistent(&log_->header_->mutex);
}

StepLog::Lock::~Lock() { pthread_mutex_unlock(&log_->header_->mutex); }

void StepLog::Lock::StopHere(StepKind kind, std::string_view path) {
  Header* header = log_->header_;
  if (header->stop_after == 0 || StepName(kind, path) != header->stop_name || --header->stop_after > 0) return;
  header->stopped.store(getpid());
  // With the lock held, so that no other thread of this process takes another step.
  while (true) kill(getpid(), SIGKILL);
}

void StepLog::Lock::Append(const Step& step) {
  Header* header = log_->header_;
  const std::string_view data = log_->keeps_data() ? step.data : std::string_view();
  RecordHeader record = {.inode = step.inode,
                         .parent = step.parent,
                         .new_parent = step.new_parent,
                         .offset = step.offset,
                         .data_size = data.size(),
                         .path_size = static_cast<uint32_t>(step.path.size()),
                         .new_path_size = static_cast<uint32_t>(step.new_path.size()),
                         .process = getpid(),
                         .kind = step.kind};
  const size_t used = sizeof(record) + step.path.size() + step.new_path.size() + data.size();
  record.size = (used + 7) / 8 * 8;
  const uint64_t begin = header->bytes.load();
  if (kHeaderBytes + begin + record.size > log_->size_) return Find("the log is full");
  char* at = log_->records() + begin;
  for (const std::string_view part : {std::string_view(reinterpret_cast<const char*>(&record), sizeof(record)),
                                      std::string_view(step.path), std::string_view(step.new_path), data}) {
    std::memcpy(at, part.data(), part.size());
    at += part.size();
  }
  header->bytes.store(begin + record.size);
  header->steps.fetch_add(1);
}

void StepLog::Lock::Find(std::string_view what) {
  if (log_->header_->finding[0] == '\0') Copy(what, log_->header_->finding, sizeof(log_->header_->finding));
}

}  // namespace tandem::test
