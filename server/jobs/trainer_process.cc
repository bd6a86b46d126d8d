#include "server/jobs/trainer_process.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

namespace {

constexpr char kLockFile[] = "lock";

// A file descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status ErrnoStatus(std::string_view what, int error) {
  return absl::InternalError(Concat(what, ": ", std::strerror(error)));
}

absl::StatusOr<Descriptor> OpenFile(const std::filesystem::path& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (file.get() < 0) return ErrnoStatus(path.string(), errno);
  return file;
}

// Fields of /proc/<pid>/stat, numbered as in proc(5).
constexpr int kUserTicks = 14, kSystemTicks = 15, kStartTicks = 22;

// Empty when there is no such process.
std::string StatField(pid_t pid, int wanted) {
  std::ifstream file(Concat("/proc/", pid, "/stat"));
  std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = stat.rfind(')');  // The name before it may hold anything.
  if (name_end == std::string::npos) return "";
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= wanted && fields >> field; ++number) continue;
  return field;
}

// When the process started, in clock ticks since boot: with it, a pid names one process. Empty when there is none.
std::string StartTicks(pid_t pid) { return StatField(pid, kStartTicks); }

// "<pid> <start ticks>", as Start writes it into the lock file; 0 unless exactly that process still runs.
pid_t LockOwner(int lock) {
  char text[64] = {};
  if (::pread(lock, text, sizeof(text) - 1, 0) <= 0) return 0;
  std::istringstream fields(text);
  pid_t pid = 0;
  std::string ticks;
  if (!(fields >> pid >> ticks) || pid <= 1 || StartTicks(pid) != ticks) return 0;
  return pid;
}

// The lock of the directory, once no other process has it.
absl::StatusOr<Descriptor> TakeLock(const std::filesystem::path& job_directory, absl::Duration limit) {
  ASSIGN_OR_RETURN(Descriptor lock, OpenFile(job_directory / kLockFile, O_RDWR | O_CREAT));
  const absl::Time begin = absl::Now();
  for (bool terminated = false; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; absl::SleepFor(absl::Milliseconds(20))) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus((job_directory / kLockFile).string(), errno);
    const absl::Duration waited = absl::Now() - begin;
    const pid_t owner = LockOwner(lock.get());
    if (waited > limit) {
      return absl::InternalError(Concat(job_directory.string(), ": an earlier trainer (process ", owner,
                                        ") still runs there and has not ended for ", absl::FormatDuration(limit)));
    }
    if (owner == 0) continue;  // It is just ending.
    if (waited > limit / 3) {
      ::kill(-owner, SIGKILL);
    } else if (!terminated) {
      ::kill(-owner, SIGTERM);
      terminated = true;
    }
  }
  return lock;
}

// Everything that the child needs, made before the fork: after it only calls to the kernel are allowed.
struct ChildPlan {
  const char* binary;
  char* const* arguments;
  char* const* environment;
  int input, log, lock;
  pid_t parent;
};

[[noreturn]] void RunChild(const ChildPlan& plan, volatile int* error) {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != plan.parent) ::_exit(127);  // tandemd died before the line above.
  // Serving comes first: the trainer takes what is left, and is the first to be killed when memory runs out. Best
  // effort, a container may forbid it.
  ::setpriority(PRIO_PROCESS, 0, 19);
  const sched_param priority{};
  ::sched_setscheduler(0, SCHED_IDLE, &priority);
  ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
  const int oom_score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom_score >= 0) {
    [[maybe_unused]] const ssize_t ignored = ::write(oom_score, "1000", 4);
    ::close(oom_score);
  }
  if (::dup2(plan.input, 0) >= 0 && ::dup2(plan.log, 1) >= 0 && ::dup2(plan.log, 2) >= 0 &&
      ::fcntl(plan.lock, F_SETFD, 0) == 0) {
    ::execve(plan.binary, plan.arguments, plan.environment);
  }
  *error = errno;
  ::_exit(127);
}

// vfork: copying the page tables of a server with gigabytes of vectors would stop it for a while.
__attribute__((noinline)) pid_t Spawn(const ChildPlan& plan, volatile int* error) {
  const pid_t pid = ::vfork();
  if (pid == 0) RunChild(plan, error);
  if (pid < 0) *error = errno;
  return pid;
}

absl::Status CannotRun(const std::filesystem::path& binary, int error) {
  const absl::Status status = ErrnoStatus(Concat("trainer_binary ", binary.string()), error);
  const bool is_none = error == ENOENT || error == EACCES || error == ENOEXEC || error == ENOTDIR;
  return is_none ? absl::FailedPreconditionError(status.message()) : status;
}

std::vector<std::string> TrainerEnvironment(int threads) {
  // A passive wait leaves the cores to the server between two parallel regions.
  std::vector<std::string> environment = {"OMP_WAIT_POLICY=passive", Concat("OMP_NUM_THREADS=", threads)};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("OMP_WAIT_POLICY=") && !text.starts_with("OMP_NUM_THREADS=")) environment.emplace_back(text);
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::string TrainerEnd::Describe() const {
  if (exit_code >= 0) return Concat("exited with code ", exit_code);
  return Concat("was ended by signal ", signal, " (", ::strsignal(signal), ")");
}

absl::StatusOr<TrainerProcess> TrainerProcess::Start(const std::filesystem::path& binary,
                                                     const std::filesystem::path& job_directory, int threads,
                                                     absl::Duration old_trainer_limit) {
  ASSIGN_OR_RETURN(const Descriptor lock, TakeLock(job_directory, old_trainer_limit));
  ASSIGN_OR_RETURN(const Descriptor input, OpenFile("/dev/null", O_RDONLY));
  ASSIGN_OR_RETURN(const Descriptor log, OpenFile(job_directory / kTrainerLog, O_WRONLY | O_CREAT | O_APPEND));
  std::vector<std::string> arguments = {binary.string(), job_directory.string()};
  std::vector<std::string> environment = TrainerEnvironment(threads);
  const std::vector<char*> argument_pointers = Pointers(arguments), environment_pointers = Pointers(environment);
  const ChildPlan plan{
      binary.c_str(), argument_pointers.data(), environment_pointers.data(), input.get(), log.get(), lock.get(),
      ::getpid()};
  volatile int error = 0;
  const pid_t pid = Spawn(plan, &error);
  if (pid > 0 && error != 0) ::waitpid(pid, nullptr, 0);
  if (error != 0) return CannotRun(binary, error);
  ::setpgid(pid, pid);  // The child does the same; whoever comes first.
  const std::string owner = Concat(pid, " ", StartTicks(pid), "\n");
  if (::ftruncate(lock.get(), 0) != 0 ||
      ::pwrite(lock.get(), owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    const int write_error = errno;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return ErrnoStatus((job_directory / kLockFile).string(), write_error);
  }
  return TrainerProcess(pid);
}

std::optional<TrainerEnd> TrainerProcess::Poll() {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  TrainerEnd end;
  if (ended > 0 && WIFEXITED(status)) {
    end.exit_code = WEXITSTATUS(status);
  } else {
    end.signal = ended > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : SIGKILL;
  }
  return end;
}

void TrainerProcess::Terminate() { ::kill(-pid_, SIGTERM); }

void TrainerProcess::Kill() { ::kill(-pid_, SIGKILL); }

int64_t TrainerProcess::ResidentBytes() const {
  // "<size> <resident> ...", in pages.
  const Descriptor file(::open(Concat("/proc/", pid_, "/statm").c_str(), O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  int64_t pages = 0;
  if (file.get() < 0 || ::read(file.get(), text, sizeof(text) - 1) <= 0) return 0;
  if (std::sscanf(text, "%*d %" SCNd64, &pages) != 1) return 0;
  return pages * ::sysconf(_SC_PAGESIZE);
}

absl::Duration TrainerProcess::CpuTime() const {
  int64_t ticks = 0;
  for (const int field : {kUserTicks, kSystemTicks}) {
    int64_t count = 0;
    if (absl::SimpleAtoi(StatField(pid_, field), &count)) ticks += count;
  }
  return absl::Seconds(1) * ticks / ::sysconf(_SC_CLK_TCK);
}

absl::Status EndOldTrainer(const std::filesystem::path& job_directory, absl::Duration limit) {
  return TakeLock(job_directory, limit).status();
}

}  // namespace tandem
