#pragma once
// What a job that runs inside tandemd is made of: all kinds but trainings, which have a process of their own. One
// thread runs them, one after the other, and gives way to everything else of the process (thread_priority.h). A job's
// row, directory, events, Cancel, Watch and restarts are the same as a training's; see training_jobs.h.
//
// A body does the whole work on the calling thread. It may be stopped between any two steps, by an error of `progress`
// or by the end of the process, and is then called again from the start, by this server or the next one: what it keeps
// in the job's directory is still there, and what it changes elsewhere it must change once.
//
// Its errors: those that IsLasting names, and FAILED_PRECONDITION, make the job FAILED. Any other may pass: the job is
// put aside and tried again, until it has failed TrainingJobsOptions::max_attempts times.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/storage/records.h"

namespace tandem {

// What a body gets; valid while it runs.
struct ServerJob {
  const JobRecord& record;  // As it was when the attempt began; options_json is the body's plan.
  // The job's own, to keep files between attempts; it goes when the job has ended. What was too large for the row lies
  // in its kInputFile.
  std::filesystem::path directory;

  // How far the work is, in units of the body's choice. To be called at least every second or so, and for free when
  // called more often. CANCELLED when the job is to be cancelled and UNAVAILABLE when the server stops: the body then
  // returns that error at once, unless it is past the point where it can be cancelled.
  std::function<absl::Status(int64_t step, int64_t total_steps)> progress;
  // Adds a line for those who watch.
  std::function<void(const std::string& text)> message;
};

// Of ServerJob::directory: what the job was submitted with, see TrainingJobs::Submit.
inline constexpr char kInputFile[] = "input";

// Returns what becomes JobRecord::result_json of the SUCCEEDED job: an object.
using ServerJobBody = std::function<absl::StatusOr<std::string>(const ServerJob& job)>;

// One for each kind.
struct ServerJobBodies {
  ServerJobBody mine_negatives;
  ServerJobBody analyze_dataset;
  ServerJobBody compare_releases;
  ServerJobBody create_snapshot;
  ServerJobBody restore_snapshot;
};

}  // namespace tandem
