#pragma once
// One run of tandem-trainer: a process in a group of its own, at idle priority, the first that the kernel kills when
// memory runs out, that ends when tandemd ends. It holds a lock on <job directory>/lock, so that a server that starts
// after a crash can tell that the old trainer still runs and end it before it starts another. Not thread-safe; Start
// must be called from a thread that lives as long as the process may: the kernel sends the parent-death signal when
// that thread ends.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

// How a trainer ended: with an exit code, or by a signal.
struct TrainerEnd {
  int exit_code = -1;  // -1: a signal ended it.
  int signal = 0;

  std::string Describe() const;  // "was ended by signal 9 (Killed)", "exited with code 7".
};

class TrainerProcess {
 public:
  // stdin is /dev/null, stdout and stderr are appended to the directory's trainer.log. Ends a trainer of an earlier
  // server first, see EndOldTrainer. FAILED_PRECONDITION when the binary is none; INTERNAL with errno's text for what
  // may pass.
  static absl::StatusOr<TrainerProcess> Start(const std::filesystem::path& binary,
                                              const std::filesystem::path& job_directory, int threads,
                                              absl::Duration old_trainer_limit);

  pid_t pid() const { return pid_; }
  std::optional<TrainerEnd> Poll();  // Set once it has ended; never blocks.
  void Terminate();                  // SIGTERM to the group.
  void Kill();                       // SIGKILL to the group.
  int64_t ResidentBytes() const;     // 0 when it cannot be read. Takes microseconds.
  absl::Duration CpuTime() const;    // Of all its threads so far; 0 when it cannot be read.

 private:
  explicit TrainerProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

// Waits until no trainer runs in the directory: one that a server before this one left gets SIGTERM, SIGKILL after a
// third of `limit`, and INTERNAL is returned when it has not ended after `limit`: the kernel waits for a device.
absl::Status EndOldTrainer(const std::filesystem::path& job_directory, absl::Duration limit);

}  // namespace tandem
