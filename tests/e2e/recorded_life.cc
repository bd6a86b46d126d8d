#include "tests/e2e/recorded_life.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/base/event_log.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "tests/e2e/ledger_check.h"

namespace tandem::test {
namespace {

namespace fs = std::filesystem;

constexpr char kCollection[] = "collections/docs";

bool IsImported(const std::string& revision) {
  return revision == "models/m/revisions/a" || revision == "models/m/revisions/b";
}

std::vector<pid_t> TrainersBelow(const fs::path& data_directory) {
  std::vector<pid_t> trainers;
  std::error_code gone;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    const absl::StatusOr<std::string> command = ReadFile(entry.path() / "cmdline");  // An error: it has ended.
    if (command.ok() && absl::StrContains(*command, "tandem-trainer") &&
        absl::StrContains(*command, absl::StrCat(data_directory.string(), "/"))) {
      trainers.push_back(pid);
    }
  }
  return trainers;
}

std::vector<fs::path> JobDirectories(const fs::path& data_directory) {
  std::vector<fs::path> jobs;
  std::error_code none;
  for (const fs::directory_entry& tenant : fs::directory_iterator(data_directory / "jobs", none)) {
    for (const fs::directory_entry& job : fs::directory_iterator(tenant, none)) jobs.push_back(job);
  }
  return jobs;
}

}  // namespace

void ReplaceDirectory(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

void KillTrainersBelow(const fs::path& data_directory) {
  for (std::vector<pid_t> trainers; !(trainers = TrainersBelow(data_directory)).empty();
       absl::SleepFor(absl::Milliseconds(2))) {
    for (const pid_t trainer : trainers) kill(trainer, SIGKILL);
  }
}

int TimesResumed(const fs::path& data_directory) {
  int times = 0;
  for (const fs::path& job : JobDirectories(data_directory)) {
    // Of whole records only: what lies behind one that a power cut took is there, and will be cut off.
    EventReader reader(job / kEventsFile);
    for (auto events = reader.ReadNew(); events.ok() && !events->empty(); events = reader.ReadNew()) {
      times += std::ranges::count_if(
          *events, [](const auto& event) { return absl::StrContains(event.dump(), "going on from the checkpoint"); });
    }
  }
  return times;
}

bool HasToResume(const fs::path& data_directory) {
  if (!TrainersBelow(data_directory).empty()) return false;  // It may still end the job, or go on to a checkpoint.
  for (const fs::path& job : JobDirectories(data_directory)) {
    if (fs::exists(job / kResultDirectory) || fs::exists(job / kResultFile)) continue;
    std::error_code none;
    for (const fs::directory_entry& entry : fs::directory_iterator(job, none)) {
      const bool is_checkpoint = absl::StartsWith(entry.path().filename().string(), kCheckpointPrefix);
      if (is_checkpoint && fs::exists(entry.path() / "checkpoint.json")) return true;
    }
  }
  return false;
}

absl::Status AskLive(const Client& client, std::vector<SearchAnswer>* answers) {
  const absl::StatusOr<v1::Collection> collection = client.collections.Get(kCollection);
  if (absl::IsNotFound(collection.status())) return absl::OkStatus();
  RETURN_IF_ERROR(collection.status());
  for (const uint64_t number : {uint64_t{1}, uint64_t{2}, uint64_t{3}}) {
    v1::SearchRequest request;
    request.set_collection(kCollection);
    request.set_text(TextOf(77, number));
    const absl::StatusOr<v1::SearchResponse> response = client.search.Query(request);
    if (collection->live_release().empty()) {
      if (absl::IsFailedPrecondition(response.status())) continue;
      return absl::InternalError(absl::StrCat("nothing is live and a search has ", response.status().ToString()));
    }
    RETURN_IF_ERROR(response.status());
    if (response->release() != collection->live_release()) {
      return absl::InternalError(absl::StrCat(response->release(), " answers, live is ", collection->live_release()));
    }
    answers->push_back(AnswerOf(request, *response));
  }
  return absl::OkStatus();
}

std::vector<std::string> CheckRevisions(const std::string& address, const Ledger& ledger, int64_t position) {
  std::vector<std::string> findings;
  const LedgerFacts facts = ledger.facts();
  for (const auto& [name, sha256] : facts.revision_sha256) {
    const std::vector<Existence>& history = facts.resources.at(name);
    if (history.size() != 1 || history[0].acknowledged > position) continue;
    const auto vectors = EmbedBy(address)(name, {TextOf(77, 1)}, AnswerOracle::Role::kQuery);
    if (!vectors.ok()) findings.push_back(absl::StrCat(name, " does not embed: ", vectors.status().ToString()));
  }
  return findings;
}

LifeOracle::LifeOracle(const fs::path& data_directory, const std::vector<std::string>& flags,
                       const std::string& trained_revision)
    : trained_revision_(trained_revision),
      server_(std::make_unique<TandemdProcess>(TandemdOptions{.flags = flags}, TandemdProcess::NotStarted())) {
  ReplaceDirectory(data_directory, server_->data_directory());
  if (const absl::Status started = server_->Start(); !started.ok()) {
    std::fprintf(stderr, "%s\n", started.ToString().c_str());
    std::abort();
  }
}

std::vector<std::string> LifeOracle::Check(const std::vector<LoggedVersion>& log, const Ledger& ledger,
                                           std::vector<SearchAnswer> answers) {
  std::vector<std::string> findings = CheckCommitLog(log, ledger);
  AnswerOracle oracle(log, ledger.facts().release_revision,
                      [this](const std::string& revision, const std::vector<std::string>& texts,
                             AnswerOracle::Role role) { return Embed(revision, texts, role); });
  const absl::StatusOr<std::vector<std::string>> wrong = oracle.Check(std::move(answers));
  if (!wrong.ok()) {
    findings.push_back(wrong.status().ToString());
  } else {
    findings.insert(findings.end(), wrong->begin(), wrong->end());
  }
  return findings;
}

absl::StatusOr<std::vector<std::vector<float>>> LifeOracle::Embed(const std::string& revision,
                                                                  const std::vector<std::string>& texts,
                                                                  AnswerOracle::Role role) {
  const std::string& known = IsImported(revision) ? revision : trained_revision_;
  std::vector<std::string> missing;
  for (const std::string& text : texts) {
    if (!vectors_.contains({known, role, text})) missing.push_back(text);
  }
  if (!missing.empty()) {
    ASSIGN_OR_RETURN(std::vector<std::vector<float>> embedded, EmbedBy(server_->address())(known, missing, role));
    for (size_t i = 0; i < missing.size(); ++i) vectors_[{known, role, missing[i]}] = std::move(embedded[i]);
  }
  std::vector<std::vector<float>> vectors;
  for (const std::string& text : texts) vectors.push_back(vectors_.at({known, role, text}));
  return vectors;
}

}  // namespace tandem::test
