#include "server/encoder/embedding_queue.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include <ATen/Parallel.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// Interactive work counts as waiting for this long after it came: a search that follows another one meets a short
// chunk.
constexpr absl::Duration kInteractiveMemory = absl::Seconds(1);

// With both kinds waiting, interactive work gets at most this much more of the thread's time than bulk work, which so
// never stands still: a search now and then goes at once, an endless row of them gets half of the time. What a long
// batch had beyond kLongestLead is forgiven: the searches behind it do not pay for it.
constexpr absl::Duration kInteractiveLead = absl::Milliseconds(30);
constexpr absl::Duration kLongestLead = absl::Milliseconds(90);

// One call of Embed. Owned by its caller's stack; in a queue until its last text has been taken.
struct Call {
  std::shared_ptr<const Encoder> encoder;
  std::vector<TokenizedText> texts;
  absl::Time deadline;
  size_t taken = 0;  // Texts that went into batches.
  size_t done = 0;   // Texts that came back.
  absl::Status status;
  std::vector<float> vectors;

  bool started() const { return taken > 0; }
  // Failed calls wait for their batch in flight: it still reads the texts.
  bool finished() const { return done == taken && (!status.ok() || done == texts.size()); }
};

// Texts begin .. end of a call, side by side in one forward pass.
struct Part {
  Call* call;
  size_t begin, end;
};

// Calls of one priority in the order in which they came.
struct Line {
  std::deque<Call*> calls;
  int64_t texts = 0;  // Admitted and not yet in a batch, those of callers that still tokenise included.

  void Remove(Call* call) {
    if (std::erase(calls, call) > 0) texts -= static_cast<int64_t>(call->texts.size() - call->taken);
  }
};

struct Batch {
  std::shared_ptr<const Encoder> encoder;
  std::vector<Part> parts;
  EmbeddingPriority priority = EmbeddingPriority::kInteractive;
};

}  // namespace

struct EmbeddingQueue::Rep {
  explicit Rep(const EmbeddingQueueOptions& options) : options(options) {}

  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return stopping || !interactive.calls.empty() || !bulk.calls.empty();
  }
  Batch NextBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // noexcept: a failure between the layers of another batch must not be taken for that batch's, and leave this one's
  // callers waiting.
  void Compute(const Batch& batch, const std::function<void()>& between_layers) noexcept;
  void ComputeInteractive(const Batch& batch);
  void ComputeBulk(const Batch& batch);
  void GiveWay(absl::Time* bulk_since);
  void Finish(const Batch& batch, const absl::StatusOr<std::vector<float>>& vectors)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::Status Admit(int64_t texts, EmbeddingPriority priority, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  absl::StatusOr<EmbeddedTexts> Embed(Call& call, std::span<const std::string> texts, InputRole role,
                                      EmbeddingPriority priority);
  absl::Status Wait(Call& call, Line& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const EmbeddingQueueOptions options;
  absl::Mutex mutex;
  Line interactive ABSL_GUARDED_BY(mutex), bulk ABSL_GUARDED_BY(mutex);
  absl::Time last_interactive ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
  // Time that interactive batches had while bulk work waited, less what bulk work had since; at least 0.
  absl::Duration lead ABSL_GUARDED_BY(mutex);
  int64_t callers ABSL_GUARDED_BY(mutex) = 0;  // Inside Embed.
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::thread thread;
};

namespace {

absl::Status Stopped() { return absl::UnavailableError("the embedding queue is stopping"); }

absl::Status Late() { return absl::DeadlineExceededError("the deadline passed before the embedding started"); }

// Calls that have not started and whose deadline has passed.
void DropLate(Line& line) {
  const absl::Time now = absl::Now();
  std::erase_if(line.calls, [&](Call* call) {
    if (call->started() || call->deadline > now) return false;
    line.texts -= static_cast<int64_t>(call->texts.size());
    call->status = Late();
    return true;
  });
}

// The next texts of a call, up to `budget` tokens; one text at least when nothing else is in the batch yet.
Part TakePart(Call& call, int64_t budget, int64_t& tokens) {
  Part part{&call, call.taken, call.taken};
  for (; part.end < call.texts.size(); ++part.end) {
    const int64_t size = static_cast<int64_t>(call.texts[part.end].ids.size());
    if (tokens > 0 && tokens + size > budget) break;
    tokens += size;
  }
  call.taken = part.end;
  return part;
}

// Calls in their order, those that name the encoder of the first one, up to the budget.
Batch Take(Line& line, int64_t budget) {
  Batch batch;
  if (line.calls.empty()) return batch;
  batch.encoder = line.calls.front()->encoder;
  int64_t tokens = 0;
  bool full = false;
  for (auto it = line.calls.begin(); it != line.calls.end() && !full;) {
    Call& call = **it;
    if (call.encoder == batch.encoder) {
      const Part part = TakePart(call, budget, tokens);
      line.texts -= static_cast<int64_t>(part.end - part.begin);
      if (part.end > part.begin) batch.parts.push_back(part);
      full = part.end < call.texts.size();
    }
    it = call.taken == call.texts.size() ? line.calls.erase(it) : it + 1;
  }
  return batch;
}

}  // namespace

void EmbeddingQueue::Rep::Run() {
  at::set_num_threads(options.threads);
  while (true) {
    Batch batch;
    {
      const absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(this, &Rep::HasWork));
      if (stopping) break;
      batch = NextBatch();
    }
    if (batch.parts.empty()) continue;
    batch.priority == EmbeddingPriority::kInteractive ? ComputeInteractive(batch) : ComputeBulk(batch);
  }
}

void EmbeddingQueue::Rep::Compute(const Batch& batch, const std::function<void()>& between_layers) noexcept {
  std::vector<const TokenizedText*> texts;
  for (const Part& part : batch.parts) {
    for (size_t i = part.begin; i < part.end; ++i) texts.push_back(&part.call->texts[i]);
  }
  const absl::StatusOr<std::vector<float>> vectors = batch.encoder->Embed(texts, between_layers);
  const absl::MutexLock lock(&mutex);
  Finish(batch, vectors);
}

void EmbeddingQueue::Rep::ComputeInteractive(const Batch& batch) {
  const absl::Time begin = absl::Now();
  Compute(batch, nullptr);
  const absl::MutexLock lock(&mutex);
  lead = std::min(lead + (absl::Now() - begin), kLongestLead);
}

void EmbeddingQueue::Rep::ComputeBulk(const Batch& batch) {
  absl::Time since = absl::Now();
  Compute(batch, [&] { GiveWay(&since); });
  const absl::MutexLock lock(&mutex);
  lead = std::max(lead - (absl::Now() - since), absl::ZeroDuration());
}

// Between two layers of a bulk chunk: what waits goes first, unless bulk work is due.
void EmbeddingQueue::Rep::GiveWay(absl::Time* bulk_since) {
  Batch batch;
  {
    const absl::MutexLock lock(&mutex);
    const absl::Time now = absl::Now();
    lead = std::max(lead - (now - *bulk_since), absl::ZeroDuration());
    *bulk_since = now;
    if (stopping || lead > kInteractiveLead) return;
    DropLate(interactive);
    batch = Take(interactive, options.interactive_tokens);
  }
  if (batch.parts.empty()) return;
  ComputeInteractive(batch);
  *bulk_since = absl::Now();
}

Batch EmbeddingQueue::Rep::NextBatch() {
  DropLate(interactive);
  DropLate(bulk);
  if (bulk.calls.empty()) lead = absl::ZeroDuration();
  if (!interactive.calls.empty() && lead <= kInteractiveLead) return Take(interactive, options.interactive_tokens);
  const bool beside = !interactive.calls.empty() || absl::Now() - last_interactive < kInteractiveMemory;
  Batch batch = Take(bulk, beside ? options.bulk_tokens_beside_interactive : options.bulk_tokens);
  batch.priority = EmbeddingPriority::kBulk;
  return batch;
}

void EmbeddingQueue::Rep::Finish(const Batch& batch, const absl::StatusOr<std::vector<float>>& vectors) {
  const float* next = vectors.ok() ? vectors->data() : nullptr;
  const size_t dimensions = static_cast<size_t>(batch.encoder->contract().dimensions);
  for (const Part& part : batch.parts) {
    Call& call = *part.call;
    const size_t texts = part.end - part.begin;
    call.done += texts;
    if (vectors.ok()) {
      call.vectors.insert(call.vectors.end(), next, next + texts * dimensions);
      next += texts * dimensions;
    } else {
      call.status = vectors.status();
      interactive.Remove(&call);
      bulk.Remove(&call);
    }
  }
}

absl::Status EmbeddingQueue::Rep::Admit(int64_t texts, EmbeddingPriority priority, absl::Time deadline) {
  if (stopping) return Stopped();
  if (priority == EmbeddingPriority::kInteractive) {
    if (interactive.texts + texts > options.max_queued_texts) {
      return Overloaded(Concat("the embedding queue holds ", interactive.texts, " texts; with ", texts,
                               " more it would exceed ", options.max_queued_texts),
                        absl::Seconds(1));
    }
    interactive.texts += texts;
    return absl::OkStatus();
  }
  // A call that is larger than the limit goes in alone.
  const auto fits = [&] {
    mutex.AssertHeld();
    return stopping || bulk.texts == 0 || bulk.texts + texts <= options.max_queued_texts;
  };
  if (!mutex.AwaitWithDeadline(absl::Condition(&fits), deadline)) return Late();
  if (stopping) return Stopped();
  bulk.texts += texts;
  return absl::OkStatus();
}

// Until the call is finished, or its deadline passes before it started.
absl::Status EmbeddingQueue::Rep::Wait(Call& call, Line& line) {
  const auto finished = [&] {
    mutex.AssertHeld();
    return call.finished() || (stopping && call.taken == call.done);
  };
  const absl::Condition condition(&finished);
  if (!mutex.AwaitWithDeadline(condition, call.deadline)) {
    if (!call.started()) {
      line.Remove(&call);
      return Late();
    }
    mutex.Await(condition);
  }
  line.Remove(&call);
  if (!call.status.ok()) return call.status;
  return call.done == call.texts.size() ? absl::OkStatus() : Stopped();
}

// Tokenises and embeds an admitted call.
absl::StatusOr<EmbeddedTexts> EmbeddingQueue::Rep::Embed(Call& call, std::span<const std::string> texts, InputRole role,
                                                         EmbeddingPriority priority) {
  absl::StatusOr<std::vector<TokenizedText>> tokenized = call.encoder->Tokenize(texts, role);
  EmbeddedTexts result;
  const absl::MutexLock lock(&mutex);
  Line& line = priority == EmbeddingPriority::kInteractive ? interactive : bulk;
  if (!tokenized.ok()) {
    line.texts -= static_cast<int64_t>(texts.size());
    return tokenized.status();
  }
  call.texts = *std::move(tokenized);
  for (const TokenizedText& text : call.texts) {
    result.token_counts.push_back(text.token_count);
    result.truncated.push_back(text.truncated);
  }
  line.calls.push_back(&call);
  if (priority == EmbeddingPriority::kInteractive) last_interactive = absl::Now();
  RETURN_IF_ERROR(Wait(call, line));
  result.vectors = std::move(call.vectors);
  return result;
}

EmbeddingQueue::EmbeddingQueue(const EmbeddingQueueOptions& options) : rep_(std::make_unique<Rep>(options)) {
  rep_->thread = std::thread([rep = rep_.get()] { rep->Run(); });
}

EmbeddingQueue::~EmbeddingQueue() {
  {
    const absl::MutexLock lock(&rep_->mutex);
    rep_->stopping = true;
  }
  rep_->thread.join();
  const absl::MutexLock lock(&rep_->mutex);
  const auto left = [this] {
    rep_->mutex.AssertHeld();
    return rep_->callers == 0;
  };
  rep_->mutex.Await(absl::Condition(&left));
}

absl::StatusOr<EmbeddedTexts> EmbeddingQueue::Embed(std::shared_ptr<const Encoder> encoder,
                                                    std::span<const std::string> texts, InputRole role,
                                                    EmbeddingPriority priority, absl::Time deadline) {
  if (texts.empty()) return EmbeddedTexts{};
  absl::Status admitted;
  {
    const absl::MutexLock lock(&rep_->mutex);
    ++rep_->callers;
    admitted = rep_->Admit(static_cast<int64_t>(texts.size()), priority, deadline);
  }
  absl::StatusOr<EmbeddedTexts> result(EmbeddedTexts{});
  if (!admitted.ok()) {
    result = admitted;
  } else {
    Call call;
    call.encoder = std::move(encoder);
    call.deadline = deadline;
    result = rep_->Embed(call, texts, role, priority);
  }
  const absl::MutexLock lock(&rep_->mutex);
  --rep_->callers;
  return result;
}

}  // namespace tandem
