#include "tests/e2e/tandemd_process.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include <grpcpp/generic/generic_stub.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"

namespace tandem::test {
namespace {

pid_t Spawn(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
            const std::filesystem::path& log) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  for (const std::string& variable : environment) putenv(strdup(variable.c_str()));
  if (freopen(log.c_str(), "w", stderr) == nullptr || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(126);
  const std::string binary = TandemdProcess::Binary();
  std::vector<char*> pointers = {const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  execv(binary.c_str(), pointers.data());
  _exit(127);
}

std::string Contents(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

int WaitFor(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

}  // namespace

std::filesystem::path TandemdProcess::Binary() {
  const char* folder = getenv("TANDEM_BIN_DIR");
  return (folder != nullptr ? std::filesystem::path(folder)
                            : std::filesystem::read_symlink("/proc/self/exe").parent_path()) /
         "tandemd";
}

TandemdProcess::TandemdProcess(const std::vector<std::string>& flags) {
  const std::filesystem::path port_file = directory() / "port";
  std::vector<std::string> arguments = {"--listen=127.0.0.1:0", "--port-file=" + port_file.string(),
                                        "--data-dir=" + (directory() / "data").string()};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  pid_ = Spawn(arguments, {}, directory() / "log");
  for (const absl::Time limit = absl::Now() + absl::Seconds(60); address_.empty();
       absl::SleepFor(absl::Milliseconds(20))) {
    std::ifstream(port_file) >> address_;
    if (address_.empty() && (waitpid(pid_, nullptr, WNOHANG) == pid_ || absl::Now() > limit)) {
      std::cerr << "tandemd did not start:\n" << Contents(directory() / "log");
      std::abort();
    }
  }
}

TandemdProcess::~TandemdProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  WaitFor(pid_);
}

int TandemdProcess::Stop() {
  kill(pid_, SIGTERM);
  const int code = WaitFor(pid_);
  pid_ = -1;
  if (code != 0) std::cerr << Contents(directory() / "log");
  return code;
}

int TandemdProcess::RunAndWait(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                               std::string* output) {
  const TemporaryDirectory directory;
  const int code = WaitFor(Spawn(arguments, environment, directory.path() / "log"));
  *output = Contents(directory.path() / "log");
  return code;
}

std::string RawReply::FieldPath() const {
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&bad_request) && bad_request.field_violations_size() > 0) {
      return bad_request.field_violations(0).field();
    }
  }
  return "";
}

RawReply SendRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                 const std::vector<std::string>& messages) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto stream = stub.PrepareCall(&context, "/tandem.v1." + method, &queue);
  stream->StartCall(nullptr);
  bool open = done();
  for (size_t i = 0; i < messages.size() && open; ++i) {
    grpc::Slice slice(messages[i]);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    open = done();
  }
  stream->WritesDone(nullptr);
  done();
  RawReply reply;
  for (grpc::ByteBuffer buffer;; buffer.Clear()) {
    stream->Read(&buffer, nullptr);
    if (!done()) break;
    reply.messages.push_back(Bytes(buffer));
  }
  stream->Finish(&reply.status, nullptr);
  done();
  reply.details.ParseFromString(reply.status.error_details());
  return reply;
}

}  // namespace tandem::test
