#pragma once
// A real tandemd on a free port with a data directory of its own, and a client that sends any bytes to any method.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "tests/support/temporary_directory.h"

namespace tandem::test {

struct TandemdOptions {
  std::vector<std::string> flags;        // Besides --listen, --port-file and --data-dir.
  std::vector<std::string> environment;  // "NAME=value", besides what the test has.
  std::filesystem::path data_directory;  // Empty: one of its own, which goes with it.
};

// Not thread-safe; address, pid and directory may be read while nobody starts or stops it.
class TandemdProcess {
 public:
  // Starts it and waits until it answers. Dies when it does not.
  explicit TandemdProcess(const std::vector<std::string>& flags);
  explicit TandemdProcess(TandemdOptions options);
  // Only gets ready; Start starts it.
  struct NotStarted {};
  TandemdProcess(TandemdOptions options, NotStarted);
  ~TandemdProcess();  // Kills it unless it is stopped.

  // Starts it, on the port that it had before if it had one, and waits until it answers. ABORTED, with the log, when it
  // ended or was killed before that; DEADLINE_EXCEEDED, and it is killed, when it does not within `limit`.
  absl::Status Start(absl::Duration limit = absl::Minutes(1));

  int Stop();  // SIGTERM; the exit code.
  // SIGKILL of tandemd alone. A tandem-trainer of it goes on until it notices.
  void Kill();
  // Waits until it has ended by itself, or by a signal that somebody else sends; the exit code, or 128 and the signal.
  int WaitForEnd();
  bool running() const { return pid_ > 0; }

  // Of a tandem-trainer that it has started; 0 when there is none now.
  pid_t TrainerPid() const;

  pid_t pid() const { return pid_; }
  const std::string& address() const { return address_; }
  const std::filesystem::path& directory() const { return directory_.path(); }
  const std::filesystem::path& data_directory() const { return options_.data_directory; }
  TandemdOptions& options() { return options_; }  // For the next Start.
  std::string Log() const;                        // Of all starts.

  static std::filesystem::path Binary();
  // Runs a tandemd that is expected to refuse; its exit code and what it printed.
  static int RunAndWait(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                        std::string* output);

 private:
  TemporaryDirectory directory_;  // Port file, log, and the data unless they are elsewhere.
  TandemdOptions options_;
  pid_t pid_ = -1;
  std::string address_;
};

struct RawReply {
  grpc::Status status;
  google::rpc::Status details;        // Of grpc-status-details-bin.
  std::vector<std::string> messages;  // Serialised.
  std::string FieldPath() const;      // Of the first BadRequest violation; empty when there is none.
};

// Sends the messages to "tandem.v1.<method>" ("DatasetService/GetDataset"), half-closes, reads to the end.
RawReply SendRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                 const std::vector<std::string>& messages);

}  // namespace tandem::test
