// tandemd: makes the rooms, opens what is stored, serves until SIGTERM or SIGINT, drains.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <sys/file.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "server/base/files.h"
#include "server/base/log.h"
#include "server/base/memory_budget.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/flags.h"
#include "server/jobs/analysis_job.h"
#include "server/jobs/comparison_job.h"
#include "server/jobs/mining_job.h"
#include "server/jobs/snapshot_job.h"
#include "server/rpc/model_upload.h"
#include "server/rpc/rpc_server.h"
#include "spdlog/spdlog.h"

namespace tandem {
namespace {

int stop_pipe[2];  // The signal handler writes, main reads.

void OnStopSignal(int) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t written = write(stop_pipe[1], "x", 1);
  errno = saved;
}

// A handler and not a blocked signal: blocked signals are inherited by the trainer, which needs SIGTERM.
absl::Status CatchStopSignals() {
  if (pipe2(stop_pipe, O_CLOEXEC) != 0) return absl::InternalError(Concat("pipe: ", std::strerror(errno)));
  struct sigaction action = {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = SA_RESTART | SA_RESETHAND;  // A second signal ends the process at once.
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return absl::OkStatus();
}

void WaitForStopSignal() {
  char byte;
  while (read(stop_pipe[0], &byte, 1) < 0 && errno == EINTR) {
  }
}

// libgomp reads OMP_WAIT_POLICY when it is loaded, before main: idle threads that spin would take the cores from
// searches. So the program starts itself again with it.
void SetPassiveWaiting(char** argv) {
  if (getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  execv("/proc/self/exe", argv);
  // Without /proc the server runs as well, only less smoothly.
}

// Held as long as the process lives; the kernel lets go of it.
absl::Status LockDataDirectory(const std::filesystem::path& directory) {
  RETURN_IF_ERROR(CreateDirectories(directory));
  const std::string path = directory / "LOCK";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return absl::InternalError(Concat(path, ": ", std::strerror(errno)));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    [[maybe_unused]] const ssize_t got = read(fd, pid, sizeof(pid) - 1);
    return absl::FailedPreconditionError(Concat("--data-dir ", directory.string(), " is in use by process ", pid));
  }
  const std::string pid = Concat(getpid());
  if (ftruncate(fd, 0) != 0 || write(fd, pid.data(), pid.size()) < 0) {
    return absl::InternalError(Concat(path, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

// Everything of a running server, in the order in which it is made; destroyed the other way round.
struct Server {
  std::unique_ptr<MetaStore> meta;
  std::unique_ptr<MemoryBudget> memory;
  std::unique_ptr<ModelCache> models;
  std::unique_ptr<EmbeddingQueue> embeddings;
  std::unique_ptr<Collections> collections;
  std::unique_ptr<Snapshots> snapshots;
  std::unique_ptr<TrainingJobs> jobs;
  std::unique_ptr<SearchLog> search_log;
  std::unique_ptr<Feedback> feedback;
  std::unique_ptr<Searcher> searcher;
  std::unique_ptr<RpcServer> rpc;
};

Rooms MakeRooms(const Server& server, const ServerFlags& flags, absl::Time start_time) {
  return Rooms{.meta = server.meta.get(),
               .jobs = server.jobs.get(),
               .collections = server.collections.get(),
               .feedback = server.feedback.get(),
               .snapshots = server.snapshots.get(),
               .searcher = server.searcher.get(),
               .embeddings = server.embeddings.get(),
               .models = server.models.get(),
               .memory = server.memory.get(),
               .data_directory = flags.data_directory,
               .model_import_directory = flags.model_import_directory,
               .version = TANDEM_VERSION,
               .libraries = {{"torch", TANDEM_TORCH_VERSION},
                             {"faiss", TANDEM_FAISS_VERSION},
                             {"grpc", grpc::Version()},
                             {"sqlite", TANDEM_SQLITE_VERSION}},
               .start_time = start_time};
}

ServerJobBodies MakeBodies(const ServerFlags& flags, const Server& server) {
  return {.mine_negatives = MiningBody(
              {.meta = server.meta.get(), .collections = server.collections.get(), .queue = server.embeddings.get()}),
          .analyze_dataset = AnalysisBody(flags.data_directory, server.meta.get()),
          .compare_releases = ComparisonBody(
              {.meta = server.meta.get(), .collections = server.collections.get(), .queue = server.embeddings.get()}),
          .create_snapshot = CreateSnapshotBody(server.snapshots.get()),
          .restore_snapshot = RestoreSnapshotBody(server.snapshots.get())};
}

// Opens and recovers; the server answers when this returns.
absl::Status Start(const ServerFlags& flags, absl::Time start_time, Server* server) {
  ASSIGN_OR_RETURN(server->meta, MetaStore::Open(flags.data_directory / "meta.db"));
  RETURN_IF_ERROR(CleanModelDirectories(flags.data_directory, server->meta.get()));
  server->memory = std::make_unique<MemoryBudget>(flags.memory_budget_bytes);
  server->models = std::make_unique<ModelCache>(server->memory.get());
  EmbeddingQueueOptions embedding_options;
  embedding_options.threads = flags.threads;
  server->embeddings = std::make_unique<EmbeddingQueue>(embedding_options);
  ReleaseOptions release_options;
  release_options.data_directory = flags.data_directory;
  release_options.index_threads = flags.threads;
  release_options.max_lag = flags.max_lag;
  release_options.seal_fresh = flags.seal_fresh;
  release_options.keep_versions = flags.keep_versions;
  server->collections = std::make_unique<Collections>(release_options, server->meta.get(), server->models.get(),
                                                      server->embeddings.get(), server->memory.get());
  RETURN_IF_ERROR(server->collections->Start());
  server->snapshots = std::make_unique<Snapshots>(
      SnapshotOptions{.directory = flags.snapshot_directory, .data_directory = flags.data_directory},
      server->meta.get(), server->collections.get());
  RETURN_IF_ERROR(server->snapshots->Start());
  TrainingJobsOptions job_options;
  job_options.data_directory = flags.data_directory;
  job_options.trainer_binary = flags.trainer_binary;
  job_options.trainer_threads = flags.trainer_threads;
  job_options.trainer_memory_bytes = flags.trainer_memory_bytes;
  server->jobs = std::make_unique<TrainingJobs>(job_options, server->meta.get(), MakeBodies(flags, *server));
  RETURN_IF_ERROR(server->jobs->Start());
  const SearchLogOptions log_options{.max_age = flags.search_log_age, .max_searches = flags.search_log_size};
  ASSIGN_OR_RETURN(server->search_log, SearchLog::Open(flags.data_directory / "search_log.db", log_options));
  server->feedback = std::make_unique<Feedback>(Feedback::Rooms{.meta = server->meta.get(),
                                                                .collections = server->collections.get(),
                                                                .jobs = server->jobs.get(),
                                                                .log = server->search_log.get()});
  RETURN_IF_ERROR(server->feedback->Start());
  server->searcher = std::make_unique<Searcher>(server->collections.get(), server->embeddings.get());

  RpcServerOptions rpc_options;
  rpc_options.listen = flags.listen;
  rpc_options.workers = std::max(rpc_options.workers, 4 * flags.threads);
  rpc_options.max_queued_calls = flags.max_queued_calls;
  ASSIGN_OR_RETURN(server->rpc, RpcServer::Start(rpc_options, MakeRooms(*server, flags, start_time)));
  if (flags.port_file.empty()) return absl::OkStatus();
  return WriteFileDurably(flags.port_file, server->rpc->address() + "\n");
}

// Calls end, then jobs (a running trainer saves a checkpoint), then the rest. A call that ignores its end must not keep
// the process for ever.
void Stop(const ServerFlags& flags, Server* server) {
  std::thread([limit = flags.drain_timeout + absl::Seconds(30)] {
    absl::SleepFor(limit);
    spdlog::error("draining took longer than {}: exiting with work under way", absl::FormatDuration(limit));
    _exit(1);
  }).detach();
  server->rpc->Drain(flags.drain_timeout);
  server->rpc.reset();
  server->feedback->Shutdown();
  server->jobs->Shutdown();
}

absl::Status Run(int argc, char** argv) {
  const absl::Time start_time = absl::Now();
  ASSIGN_OR_RETURN(const ServerFlags flags, ReadFlags(argc, argv));
  RETURN_IF_ERROR(SetUpLogging(flags.log_level));
  RETURN_IF_ERROR(CatchStopSignals());
  RETURN_IF_ERROR(LockDataDirectory(flags.data_directory));
  Server server;
  RETURN_IF_ERROR(Start(flags, start_time, &server));
  spdlog::info("tandemd {} listens on {}, data in {}, started in {} ms", TANDEM_VERSION, server.rpc->address(),
               flags.data_directory.string(), absl::ToInt64Milliseconds(absl::Now() - start_time));
  WaitForStopSignal();
  spdlog::info("draining for at most {}", absl::FormatDuration(flags.drain_timeout));
  Stop(flags, &server);
  spdlog::info("stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::SetPassiveWaiting(argv);
  const absl::Status status = tandem::Run(argc, argv);
  if (status.ok()) return 0;
  std::cerr << "tandemd: " << tandem::StdView(status.message()) << "\n";
  return 1;
}
