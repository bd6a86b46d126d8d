#pragma once
// A real tandemd on a free port with a data directory of its own, and a client that sends any bytes to any method.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "google/rpc/status.pb.h"
#include "tests/support/temporary_directory.h"

namespace tandem::test {

class TandemdProcess {
 public:
  // Starts it with `flags` besides --listen, --port-file and --data-dir, and waits until it answers. Dies when it does
  // not.
  explicit TandemdProcess(const std::vector<std::string>& flags);
  ~TandemdProcess();  // Kills it unless Stop was called.

  int Stop();  // SIGTERM; the exit code.
  pid_t pid() const { return pid_; }
  const std::string& address() const { return address_; }
  const std::filesystem::path& directory() const { return directory_.path(); }

  static std::filesystem::path Binary();
  // Runs a tandemd that is expected to refuse; its exit code and what it printed.
  static int RunAndWait(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                        std::string* output);

 private:
  TemporaryDirectory directory_;
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
