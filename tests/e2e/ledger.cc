#include "tests/e2e/ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tandem::test {

Ledger::Ledger(Position position) : position_(std::move(position)) {}

Ledger::Ledger(const Ledger& other) {
  absl::MutexLock lock(&other.mutex_);
  position_ = other.position_;
  facts_ = other.facts_;
}

Ledger& Ledger::operator=(const Ledger& other) {
  Ledger copy(other);
  absl::MutexLock lock(&mutex_);
  absl::MutexLock copy_lock(&copy.mutex_);
  position_ = std::move(copy.position_);
  facts_ = std::move(copy.facts_);
  return *this;
}

void Ledger::set_position(Position position) {
  absl::MutexLock lock(&mutex_);
  position_ = std::move(position);
}

void Ledger::Attempt(const std::string& name, bool there) {
  absl::MutexLock lock(&mutex_);
  std::vector<Existence>& history = facts_.resources[name];
  if (history.empty() || history.back().there != there) history.push_back({.there = there, .attempted = Now()});
}

void Ledger::Acknowledge(const std::string& name, bool there) {
  absl::MutexLock lock(&mutex_);
  std::vector<Existence>& history = facts_.resources[name];
  if (history.empty() || history.back().there != there) history.push_back({.there = there, .attempted = Now()});
  if (history.back().acknowledged == kNeverAcknowledged) history.back().acknowledged = Now();
}

void Ledger::AcknowledgeRevision(const std::string& name, const std::string& sha256) {
  Acknowledge(name);
  absl::MutexLock lock(&mutex_);
  facts_.revision_sha256[name] = sha256;
}

void Ledger::AttemptRelease(const std::string& name, const std::string& revision) {
  Attempt(name);
  absl::MutexLock lock(&mutex_);
  facts_.release_revision[name] = revision;
}

void Ledger::AcknowledgeExamples(const std::string& dataset, int64_t first_commit,
                                 const std::vector<std::string>& serialised) {
  absl::MutexLock lock(&mutex_);
  std::vector<ExampleFact>& facts = facts_.examples[dataset];
  for (size_t i = 0; i < serialised.size(); ++i) {
    if (static_cast<size_t>(first_commit) + i <= facts.size()) continue;
    facts.push_back({.serialised = serialised[i], .acknowledged = Now()});
  }
}

void Ledger::AttemptWrites(const std::vector<Write>& writes) {
  absl::MutexLock lock(&mutex_);
  for (const Write& write : writes) {
    std::vector<DocumentWrite>& versions = facts_.documents[write.id];
    const bool again =
        !versions.empty() && versions.back().text == write.text && versions.back().acknowledged == kNeverAcknowledged;
    if (!again) versions.push_back({.text = write.text});
  }
}

void Ledger::AcknowledgeWrites(const std::vector<Write>& writes, int64_t commit) {
  absl::MutexLock lock(&mutex_);
  const int64_t now = Now();
  for (size_t i = 0; i < writes.size(); ++i) {
    std::vector<DocumentWrite>& versions = facts_.documents[writes[i].id];
    const auto attempt = std::find_if(versions.rbegin(), versions.rend(),
                                      [&](const DocumentWrite& version) { return version.text == writes[i].text; });
    if (attempt == versions.rend() || attempt->acknowledged != kNeverAcknowledged) continue;
    // Upserts of one call have commits in a row; of deletions some may have taken none.
    attempt->commit = writes[i].text.empty() ? commit : commit - static_cast<int64_t>(writes.size() - 1 - i);
    attempt->acknowledged = now;
  }
  if (facts_.commits.empty() || facts_.commits.back().second < commit) facts_.commits.emplace_back(now, commit);
}

void Ledger::AttemptPromotion(const std::string& release) {
  absl::MutexLock lock(&mutex_);
  std::vector<PromotionFact>& promotions = facts_.promotions;
  const bool again = !promotions.empty() && promotions.back().release == release &&
                     promotions.back().acknowledged == kNeverAcknowledged;
  if (!again) promotions.push_back({.release = release});
}

void Ledger::AcknowledgePromotion(const std::string& release) {
  absl::MutexLock lock(&mutex_);
  for (auto fact = facts_.promotions.rbegin(); fact != facts_.promotions.rend(); ++fact) {
    if (fact->release != release) continue;
    if (fact->acknowledged == kNeverAcknowledged) fact->acknowledged = Now();
    return;
  }
}

void Ledger::AcknowledgeJob(const std::string& request_id, const std::string& name) {
  Acknowledge(name);
  absl::MutexLock lock(&mutex_);
  JobFact& job = facts_.jobs[request_id];
  if (!job.name.empty()) return;
  job.name = name;
  job.acknowledged = Now();
}

absl::Status Ledger::SeeJobEvent(const std::string& request_id, int64_t sequence, JobEventFact event) {
  absl::MutexLock lock(&mutex_);
  event.acknowledged = Now();
  const auto [seen, fresh] = facts_.jobs[request_id].events.emplace(sequence, event);
  if (fresh || seen->second == event) return absl::OkStatus();
  const auto show = [](const JobEventFact& fact) {
    return absl::StrCat(fact.kind, " ", fact.text, " step ", fact.step, " loss ", fact.loss);
  };
  return absl::InternalError(absl::StrCat("job of request ", request_id, ", sequence ", sequence, ": was ",
                                          show(seen->second), ", is ", show(event)));
}

void Ledger::AcknowledgeJobResult(const std::string& request_id, const std::string& revision,
                                  const std::string& sha256) {
  AcknowledgeRevision(revision, sha256);
  absl::MutexLock lock(&mutex_);
  JobFact& job = facts_.jobs[request_id];
  job.revision = revision;
  job.sha256 = sha256;
  if (job.result_acknowledged == kNeverAcknowledged) job.result_acknowledged = Now();
}

void Ledger::MarkDone(const std::string& mark) {
  absl::MutexLock lock(&mutex_);
  facts_.done.insert(mark);
}

bool Ledger::IsDone(const std::string& mark) const {
  absl::MutexLock lock(&mutex_);
  return facts_.done.contains(mark);
}

int64_t Ledger::head_commit() const {
  absl::MutexLock lock(&mutex_);
  return facts_.commits.empty() ? 0 : facts_.commits.back().second;
}

std::string Ledger::live() const {
  absl::MutexLock lock(&mutex_);
  for (auto fact = facts_.promotions.rbegin(); fact != facts_.promotions.rend(); ++fact) {
    if (fact->acknowledged != kNeverAcknowledged) return fact->release;
  }
  return "";
}

std::map<std::string, std::string> Ledger::CurrentDocuments() const {
  absl::MutexLock lock(&mutex_);
  std::map<std::string, std::string> current;
  for (const auto& [id, versions] : facts_.documents) {
    if (!versions.empty() && !versions.back().text.empty()) current[id] = versions.back().text;
  }
  return current;
}

LedgerFacts Ledger::facts() const {
  absl::MutexLock lock(&mutex_);
  return facts_;
}

JobFact Ledger::job(const std::string& request_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = facts_.jobs.find(request_id);
  return found == facts_.jobs.end() ? JobFact() : found->second;
}

std::map<int64_t, double> Ledger::Losses(const std::string& request_id, std::string* conflict) const {
  std::map<int64_t, double> losses;
  for (const auto& [sequence, event] : job(request_id).events) {
    if (event.kind != "step") continue;
    const auto [first, fresh] = losses.emplace(event.step, event.loss);
    if (fresh || first->second == event.loss) continue;
    *conflict = absl::StrCat("step ", event.step, " had loss ", first->second, " and, done again, ", event.loss);
  }
  return losses;
}

std::string DifferenceInTraining(const Ledger& ledger, const Ledger& undisturbed, const std::string& request_id,
                                 const std::string& undisturbed_request_id) {
  std::string conflict;
  const std::map<int64_t, double> losses = ledger.Losses(request_id, &conflict);
  const std::map<int64_t, double> expected = undisturbed.Losses(undisturbed_request_id, &conflict);
  if (!conflict.empty()) return conflict;
  if (expected.empty()) return "the undisturbed run has no steps";
  if (losses.size() != expected.size()) {
    return absl::StrCat(losses.size(), " steps, the undisturbed run has ", expected.size());
  }
  for (const auto& [step, loss] : expected) {
    const auto found = losses.find(step);
    if (found == losses.end()) return absl::StrCat("step ", step, " is missing");
    if (found->second != loss) return absl::StrCat("step ", step, ": loss ", found->second, ", undisturbed ", loss);
  }
  const std::string weights = ledger.job(request_id).sha256;
  const std::string expected_weights = undisturbed.job(undisturbed_request_id).sha256;
  if (weights.empty() || weights != expected_weights) {
    return absl::StrCat("weights ", weights, ", undisturbed ", expected_weights);
  }
  return "";
}

}  // namespace tandem::test
