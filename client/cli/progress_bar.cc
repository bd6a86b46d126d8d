#include "client/cli/progress_bar.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "client/cli/display_width.h"
#include "client/cli/format.h"

namespace tandem::cli {
namespace {

constexpr int kLongestBar = 30;
constexpr int kShortestBar = 8;
constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr absl::Duration kRateWindow = absl::Seconds(10);
constexpr absl::Duration kLogEvery = absl::Seconds(5);

std::optional<double> Fraction(const ProgressView& view) {
  if (view.fraction) return std::clamp(*view.fraction, 0.0, 1.0);
  if (view.total > 0) return std::clamp(view.done / view.total, 0.0, 1.0);
  return std::nullopt;
}

std::string Amount(const ProgressView& view, double value) {
  return view.unit == "bytes" ? FormatBytes(static_cast<int64_t>(value)) : FormatCount(static_cast<int64_t>(value));
}

std::string Counts(const ProgressView& view) {
  std::string text = Amount(view, view.done);
  if (view.total > 0) absl::StrAppend(&text, "/", Amount(view, view.total));
  return view.unit == "bytes" ? text : absl::StrCat(text, " ", view.unit);
}

std::string Rate(const ProgressView& view) {
  if (!view.per_second || *view.per_second <= 0) return "";
  if (view.unit == "bytes") return absl::StrCat(FormatBytes(static_cast<int64_t>(*view.per_second)), "/s");
  return *view.per_second < 10 ? absl::StrFormat("%.1f/s", *view.per_second)
                               : absl::StrCat(FormatCount(std::llround(*view.per_second)), "/s");
}

std::string Left(const ProgressView& view) { return view.left ? absl::StrCat(FormatClock(*view.left), " left") : ""; }

std::string Percent(const ProgressView& view) {
  const std::optional<double> fraction = Fraction(view);
  return fraction ? absl::StrFormat("%3d%%", static_cast<int>(*fraction * 100)) : "";
}

// Eighths of a column, so that slow work is seen to move.
std::string Bar(double fraction, int columns) {
  static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(fraction * columns * 8);
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  bar += kEighths[eighths % 8];
  const int filled = eighths / 8 + (eighths % 8 != 0 ? 1 : 0);
  for (int i = filled; i < columns; ++i) bar += "░";
  return bar;
}

std::string Join(std::vector<std::string> pieces, absl::string_view separator) {
  pieces.erase(std::remove(pieces.begin(), pieces.end(), ""), pieces.end());
  return absl::StrJoin(pieces, separator);
}

}  // namespace

std::string RenderBar(const ProgressView& view, int width) {
  const std::optional<double> fraction = Fraction(view);
  const auto line = [&](const std::string& bar, bool rate) {
    return Join({view.label, bar, Percent(view), Counts(view), rate ? Rate(view) : "", Left(view), view.note}, "  ");
  };
  const int without_bar = DisplayWidth(line("", true));
  const int room = width - without_bar - 2;
  if (fraction && room >= kShortestBar) return line(Bar(*fraction, std::min(room, kLongestBar)), true);
  if (without_bar <= width) return line("", true);
  return FitWidth(line("", false), width);
}

std::string RenderLine(const ProgressView& view) {
  std::string percent = Percent(view);
  percent.erase(0, percent.find_first_not_of(' '));
  return absl::StrCat(view.label, ": ", Join({percent, Counts(view), Rate(view), Left(view), view.note}, ", "));
}

ProgressBar::ProgressBar(ProgressOutput output, std::string label, std::string unit) : output_(std::move(output)) {
  view_.label = std::move(label);
  view_.unit = std::move(unit);
}

ProgressBar::~ProgressBar() { Finish(); }

void ProgressBar::Update(ProgressView view) {
  if (finished_) return;
  const absl::Time now = output_.now();
  view.label = view_.label;
  view.unit = view_.unit;
  view_ = std::move(view);
  if (!start_) {
    start_ = older_ = newer_ = Mark{now, view_.done};
    if (!output_.interactive) drawn_ = now;
  }
  if (now - newer_.time >= kRateWindow) {
    older_ = newer_;
    newer_ = Mark{now, view_.done};
  }
  own_rate_ = !view_.per_second;
  if (own_rate_) view_.per_second = RateSince(older_, now);
  const double seconds = absl::ToDoubleSeconds(now - start_->time);
  const std::optional<double> fraction = Fraction(view_);
  if (!view_.left && fraction && *fraction > 0.01 && seconds > 1) {
    view_.left = absl::Seconds(seconds * (1 - *fraction) / *fraction);
  }
  if (now - drawn_ >= (output_.interactive ? kRedraw : kLogEvery)) Draw();
}

std::optional<double> ProgressBar::RateSince(const Mark& mark, absl::Time now) const {
  const double seconds = absl::ToDoubleSeconds(now - mark.time);
  if (seconds < 0.2) return std::nullopt;
  return (view_.done - mark.done) / seconds;
}

void ProgressBar::Say(absl::string_view line) {
  if (output_.interactive && line_open_) absl::FPrintF(output_.file, "\r\x1b[K");
  absl::FPrintF(output_.file, "%s\n", line);
  line_open_ = false;
  if (output_.interactive && start_ && !finished_) Draw();
}

void ProgressBar::Finish() {
  if (finished_) return;
  finished_ = true;
  if (!start_ || (!output_.interactive && drawn_ == start_->time)) return;
  view_.left.reset();
  if (own_rate_) view_.per_second = RateSince(*start_, output_.now());  // Of all.
  Draw();
  if (output_.interactive) absl::FPrintF(output_.file, "\n");
  std::fflush(output_.file);
}

void ProgressBar::Draw() {
  drawn_ = output_.now();
  if (output_.interactive) {
    absl::FPrintF(output_.file, "\r%s\x1b[K", RenderBar(view_, output_.width() - 1));
    line_open_ = true;
  } else {
    absl::FPrintF(output_.file, "%s\n", RenderLine(view_));
  }
  std::fflush(output_.file);
}

}  // namespace tandem::cli
