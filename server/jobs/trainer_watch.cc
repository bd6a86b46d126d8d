// One attempt of a job: the trainer's process is started, watched for silence, memory, cancel and stop, and its end is
// judged.

#include <signal.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "absl/time/clock.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/jobs/job_events.h"
#include "server/jobs/oom_kills.h"
#include "server/jobs/trainer_process.h"
#include "server/jobs/training_jobs_rep.h"

namespace tandem {

namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(50);         // How soon an exit, a cancel or much memory is seen.
constexpr absl::Duration kCheckEvery = absl::Milliseconds(500);  // CPU time and events.
constexpr int kIdleHangLimits = 3;                               // See TrainingJobsOptions::hang_limit.

int64_t MebiBytes(int64_t bytes) { return bytes >> 20; }

int64_t EventBytes(const std::filesystem::path& job_directory) {
  std::error_code error;
  const auto size = std::filesystem::file_size(job_directory / kEventsFile, error);
  return error ? 0 : static_cast<int64_t>(size);
}

// What a trainer did since its last event: CPU time that it used, and for how long it used none. Wall time alone says
// nothing, since a trainer at idle priority hardly runs while the server is busy.
class Silence {
 public:
  Silence(int64_t event_bytes, int threads) : event_bytes_(event_bytes), threads_(std::max(threads, 1)) {}

  void Update(int64_t event_bytes, absl::Duration cpu, absl::Time now) {
    if (cpu != std::exchange(cpu_, cpu)) last_run_ = now;
    if (event_bytes == std::exchange(event_bytes_, event_bytes)) return;
    last_run_ = now;
    cpu_at_event_ = cpu;
  }
  absl::Duration CpuTime() const { return (cpu_ - cpu_at_event_) / threads_; }  // A thread's share.
  absl::Duration IdleTime(absl::Time now) const { return now - last_run_; }

 private:
  int64_t event_bytes_;
  const int threads_;
  absl::Duration cpu_, cpu_at_event_;
  absl::Time last_run_ = absl::Now();
};

}  // namespace

AttemptEnd TrainingJobs::Rep::RunAttempt(const JobRecord& job) {
  const std::optional<int64_t> oom_kills = ReadOomKills(options.oom_kills_file);
  absl::StatusOr<TrainerProcess> process = TrainerProcess::Start(options.trainer_binary, DirectoryOf(job),
                                                                 options.trainer_threads, options.old_trainer_limit);
  const std::string message(process.status().message());
  if (absl::IsFailedPrecondition(process.status())) return {AttemptEnd::Kind::kFailed, absl::InternalError(message)};
  if (!process.ok()) {
    return {AttemptEnd::Kind::kNotStarted, absl::InternalError(Concat("could not be started: ", message))};
  }
  trainings.aside.erase({job.tenant, job.id});
  return WatchProcess(*process, job, oom_kills);
}

TrainingJobs::Rep::Ending TrainingJobs::Rep::WaitAndAsk() {
  absl::MutexLock lock(&mutex);
  if (!stopping && !trainings.cancel_running) changed.WaitWithTimeout(&mutex, kPoll);
  if (trainings.cancel_running) return Ending::kCancel;
  return stopping ? Ending::kStop : Ending::kNone;
}

AttemptEnd TrainingJobs::Rep::WatchProcess(TrainerProcess& process, const JobRecord& job,
                                           std::optional<int64_t> oom_kills) {
  const std::filesystem::path directory = DirectoryOf(job);
  Watched seen{.oom_kills = oom_kills};
  absl::Time kill_time = absl::InfiniteFuture(), next_check = absl::Now();
  Silence silence(EventBytes(directory), options.trainer_threads);
  while (true) {
    if (const std::optional<TrainerEnd> end = process.Poll()) return Judge(*end, seen, job);
    const Ending asked = WaitAndAsk();
    const absl::Time now = absl::Now();
    if (asked != Ending::kNone && seen.ending == Ending::kNone) {
      seen.ending = asked;
      process.Terminate();
      kill_time = now + options.stop_grace;
    }
    if (seen.ending != Ending::kNone) {
      if (now >= kill_time) process.Kill();
      absl::SleepFor(absl::Milliseconds(10));  // WaitAndAsk does not wait while it has an answer.
      continue;
    }
    if (const int64_t resident = process.ResidentBytes(); resident > 0) seen.resident_bytes = resident;
    const int64_t limit = options.trainer_memory_bytes;
    if (limit > 0 && seen.resident_bytes > limit) seen.ending = Ending::kMemory;
    if (now >= next_check) {
      next_check = now + kCheckEvery;
      silence.Update(EventBytes(directory), process.CpuTime(), now);
      if (silence.CpuTime() > options.hang_limit) seen.ending = Ending::kBusyHang;
      if (silence.IdleTime(now) > kIdleHangLimits * options.hang_limit) seen.ending = Ending::kIdleHang;
    }
    if (seen.ending != Ending::kNone) {
      process.Kill();
      kill_time = now;
    }
  }
}

AttemptEnd TrainingJobs::Rep::Judge(const TrainerEnd& end, const Watched& seen, const JobRecord& job) const {
  using Kind = AttemptEnd::Kind;
  if (end.exit_code == kTrainerDone) return {Kind::kDone, absl::OkStatus()};
  if (seen.ending == Ending::kCancel) return {Kind::kCancelled, absl::OkStatus()};
  if (end.exit_code == kTrainerFailed) return {Kind::kFailed, ReadFailure(DirectoryOf(job))};
  switch (seen.ending) {
    case Ending::kMemory:
      return {Kind::kFailed,
              absl::ResourceExhaustedError(Concat("the trainer used ", MebiBytes(seen.resident_bytes),
                                                  " MiB of memory, limit ", MebiBytes(options.trainer_memory_bytes),
                                                  " MiB (--trainer-memory); a smaller batch_size or max_length needs "
                                                  "less"))};
    case Ending::kStop:
      return {Kind::kStopped, absl::OkStatus()};
    case Ending::kBusyHang:
      return {Kind::kDied, absl::InternalError(Concat("wrote no event for ", absl::FormatDuration(options.hang_limit),
                                                      " of CPU time and was killed"))};
    case Ending::kIdleHang:
      return {Kind::kDied, absl::InternalError(Concat("wrote no event and used no CPU time for ",
                                                      absl::FormatDuration(kIdleHangLimits * options.hang_limit),
                                                      " and was killed"))};
    case Ending::kNone:
    case Ending::kCancel:
      break;
  }
  if (end.exit_code == kTrainerStopped) return {Kind::kStopped, absl::OkStatus()};  // By somebody else's SIGTERM.
  return {Kind::kDied, DeathOf(end, seen, job)};
}

absl::Status TrainingJobs::Rep::DeathOf(const TrainerEnd& end, const Watched& seen, const JobRecord& job) const {
  const std::string last_words = Concat(", last words: ", LastLogLine(DirectoryOf(job)));
  if (end.signal != SIGKILL) return absl::InternalError(Concat(end.Describe(), last_words));
  const std::optional<int64_t> oom_kills = ReadOomKills(options.oom_kills_file);
  const std::string memory = Concat("it had ", MebiBytes(seen.resident_bytes), " MiB of memory");
  if (oom_kills && seen.oom_kills && *oom_kills > *seen.oom_kills) {
    return absl::ResourceExhaustedError(Concat("was ended by the kernel's out-of-memory killer: ", memory,
                                               "; a smaller batch_size or max_length needs less", last_words));
  }
  const char* const killer = oom_kills && seen.oom_kills ? "not by this server or for want of memory"
                                                         : "not by this server, perhaps for want of memory";
  return absl::InternalError(Concat(end.Describe(), ", ", killer, ": ", memory, last_words));
}

}  // namespace tandem
