#pragma once
// The log that recorded processes and a test share: one mmapped file. A test creates it and names it, in
// DISK_STEPS_LOG, to a process that has the recording library in LD_PRELOAD; processes that this one starts inherit
// both. Every step is taken under the log's lock, over all threads of all processes, so that the log's order is the
// order in which the disk changed. The lock survives the death of a process that holds it.
//
//   auto log = StepLog::Create(file, data_directory, {});
//   ... start a server with log->Environment() ...
//   log->StopBefore("rename jobs/result", 1);   // the process that is about to do this kills itself instead
//
// Only std here: the library is loaded into programs that bring their own versions of everything else. Thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/disk_steps/step.h"

namespace tandem::test {

class StepLog {
 public:
  struct Options {
    bool keep_data = true;  // What is written too; without it a log serves only for names, counts and stops.
    size_t capacity_bytes = size_t{1} << 30;  // Of the file, which is sparse. What does not fit makes a finding.
  };

  // Of a test: `directory` is what is recorded; its name must be canonical. Dies when the file cannot be made.
  static std::unique_ptr<StepLog> Create(const std::filesystem::path& file, const std::filesystem::path& directory,
                                         const Options& options);
  // Of a recorded process: null when DISK_STEPS_LOG is not set. Dies when it names no log.
  static std::unique_ptr<StepLog> OfThisProcess();
  ~StepLog();

  // What a recorded process gets, as NAME=value: LD_PRELOAD with `library`, and the log.
  std::vector<std::string> Environment(const std::filesystem::path& library) const;

  // The number of steps so far: what is acknowledged now rests on steps below it.
  int64_t steps() const;
  std::vector<Step> Read() const;

  // The process that is about to take the `occurrence`-th step called `name` from now on, counted over all processes,
  // dies by SIGKILL instead. Once. An empty name takes the order back.
  void StopBefore(const std::string& name, int64_t occurrence);
  int32_t stopped_process() const;  // That died; 0: none yet.

  // A call that changes files and cannot be recorded, or a full log; empty when there was none. A test that sees one
  // must not trust the log.
  std::string Finding() const;

  // Of a recorded process.
  const std::string& directory() const { return directory_; }
  bool keeps_data() const;
  class Lock {
   public:
    explicit Lock(StepLog* log);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    void StopHere(StepKind kind, std::string_view path);  // Does not return when this is where to die.
    void Append(const Step& step);
    void Find(std::string_view what);

   private:
    StepLog* const log_;
  };

 private:
  struct Header;
  StepLog(std::string file, Header* header, size_t size);
  char* records() const;

  const std::string file_;
  Header* const header_;
  const size_t size_;
  std::string directory_;
};

}  // namespace tandem::test
