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
  setenv("OMP_WAIT_POLICY", "passive", 1);  // As tandemd would start itself again to have it: half of its start.
  for (const std::string& variable : environment) putenv(strdup(variable.c_str()));
  if (freopen(log.c_str(), "a", stderr) == nullptr || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) _exit(126);
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

TandemdProcess::TandemdProcess(const std::vector<std::string>& flags) : TandemdProcess(TandemdOptions{flags, {}, {}}) {}

TandemdProcess::TandemdProcess(TandemdOptions options) : TandemdProcess(std::move(options), NotStarted()) {
  const absl::Status started = Start();
  if (started.ok()) return;
  std::cerr << started << "\n";
  std::abort();
}

TandemdProcess::TandemdProcess(TandemdOptions options, NotStarted) : options_(std::move(options)) {
  if (options_.data_directory.empty()) options_.data_directory = directory() / "data";
}

TandemdProcess::~TandemdProcess() {
  if (running()) Kill();
}

absl::Status TandemdProcess::Start(absl::Duration limit) {
  const std::filesystem::path port_file = directory() / "port";
  std::filesystem::remove(port_file);
  std::vector<std::string> arguments = {"--listen=" + (address_.empty() ? "127.0.0.1:0" : address_),
                                        "--port-file=" + port_file.string(),
                                        "--data-dir=" + options_.data_directory.string()};
  arguments.insert(arguments.end(), options_.flags.begin(), options_.flags.end());
  pid_ = Spawn(arguments, options_.environment, directory() / "log");
  const absl::Time deadline = absl::Now() + limit;
  for (std::string address; address.empty(); absl::SleepFor(absl::Milliseconds(5))) {
    std::ifstream(port_file) >> address;
    if (!address.empty()) {
      address_ = address;
      break;
    }
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return absl::AbortedError("tandemd ended before it answered:\n" + Log());
    }
    if (absl::Now() > deadline) {
      Kill();
      return absl::DeadlineExceededError("tandemd did not answer within " + absl::FormatDuration(limit) + ":\n" +
                                         Log());
    }
  }
  return absl::OkStatus();
}

int TandemdProcess::Stop() {
  kill(pid_, SIGTERM);
  const int code = WaitForEnd();
  if (code != 0) std::cerr << Log();
  return code;
}

void TandemdProcess::Kill() {
  kill(pid_, SIGKILL);
  WaitForEnd();
}

int TandemdProcess::WaitForEnd() {
  const int code = WaitFor(pid_);
  pid_ = -1;
  return code;
}

pid_t TandemdProcess::TrainerPid() const {
  if (!running()) return 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/task")) {
    pid_t child = 0;
    if (std::ifstream(task.path() / "children") >> child) return child;
  }
  return 0;
}

std::string TandemdProcess::Log() const { return Contents(directory() / "log"); }

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
