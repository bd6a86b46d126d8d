#pragma once
// Progress of long work on stderr: one line that is rewritten in place on a terminal; elsewhere a line every few
// seconds.

#include <cstdio>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tandem::cli {

// What a progress line says.
struct ProgressView {
  std::string label;  // "training"
  std::string unit;   // "steps"; "bytes" are shown as MiB.
  double done = 0;
  double total = 0;                // 0: not known.
  std::optional<double> fraction;  // Of the work, when it is known by something else than done / total. [0, 1]
  std::optional<double> per_second;
  std::optional<absl::Duration> left;
  std::string note;  // "loss 0.412  lr 4.5e-05"
};

// One line of at most `width` columns with a bar in it. What does not fit is left out: first the bar, then the rate,
// then the end of the note.
std::string RenderBar(const ProgressView& view, int width);

// The same without a bar and without a limit, for logs.
std::string RenderLine(const ProgressView& view);

struct ProgressOutput {
  std::FILE* file = stderr;
  bool interactive = false;  // A terminal that understands "\r" and "\x1b[K".
  std::function<int()> width = [] { return 80; };
  std::function<absl::Time()> now = [] { return absl::Now(); };
};

// Not thread-safe. The destructor leaves the last line standing.
class ProgressBar {
 public:
  ProgressBar(ProgressOutput output, std::string label, std::string unit);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Rates and times that the view lacks are computed from the first Update on. Drawn at most ten times a second on a
  // terminal; elsewhere every five seconds, and not at all when the work is done sooner.
  void Update(ProgressView view);

  // A line of its own above the bar.
  void Say(absl::string_view line);

  // Draws the last state, whenever the last one was drawn, and ends the line. Later calls do nothing.
  void Finish();

 private:
  struct Mark {
    absl::Time time;
    double done = 0;
  };
  void Draw();
  // In units a second; nullopt while too little time has passed.
  std::optional<double> RateSince(const Mark& mark, absl::Time now) const;

  const ProgressOutput output_;
  ProgressView view_;
  std::optional<Mark> start_;
  Mark older_, newer_;     // The rate shown is the one since older_, ten to twenty seconds ago.
  bool own_rate_ = false;  // The view brought none.
  absl::Time drawn_ = absl::InfinitePast();
  bool line_open_ = false;
  bool finished_ = false;
};

}  // namespace tandem::cli
