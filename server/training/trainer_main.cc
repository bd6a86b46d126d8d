// tandem-trainer JOB_DIRECTORY: runs or resumes one training job (server/base/job_directory.h). tandemd starts it
// at idle priority and as the kernel's first choice when memory runs out, watches its memory, and reads its exit code.

#include <atomic>
#include <csignal>
#include <cstdio>

#include <spdlog/spdlog.h>

#include "server/base/job_directory.h"
#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/training/trainer.h"

namespace {

std::atomic<bool> stop = false;
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

void AskToStop(int) { stop = true; }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tandem-trainer JOB_DIRECTORY\n");
    return tandem::kTrainerFailed;
  }
  if (const absl::Status status = tandem::SetUpLogging("info"); !status.ok()) return tandem::kTrainerFailed;
  std::signal(SIGTERM, AskToStop);
  const absl::StatusOr<tandem::TrainerOutcome> outcome = tandem::RunTrainer(argv[1], stop);
  if (!outcome.ok()) {
    spdlog::error("{}: {}", argv[1], outcome.status().ToString());
    return tandem::kTrainerFailed;
  }
  switch (*outcome) {
    case tandem::TrainerOutcome::kDone:
      return tandem::kTrainerDone;
    case tandem::TrainerOutcome::kStopped:
      return tandem::kTrainerStopped;
  }
}
