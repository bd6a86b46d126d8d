#pragma once
// A file of records on its way into a dataset or collection: bar, refused lines, summary.

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/cli/line_input.h"
#include "client/cli/outage.h"
#include "client/cli/progress_bar.h"
#include "client/cli/session.h"
#include "client/progress.h"

namespace tandem::cli {

struct FileUpload {
  std::string path;        // "-" is the standard input.
  std::string unit;        // "examples"
  std::string parent;      // "datasets/pairs", for the summary.
  std::string request_id;  // May be empty.
};

std::string RefusalText(const v1::ItemError& error);
void PrintUploadSummary(Session& session, const FileUpload& upload, const UploadProgress& done, int64_t refused);

// `parse` turns a line into StatusOr<Item>; `start` uploads: (source, options, callbacks) -> StatusOr<UploadProgress>.
template <class Item, class Parse, class Start>
absl::Status UploadRecords(Session& session, const FileUpload& upload, Parse parse, Start start) {
  absl::StatusOr<LineInput> input = LineInput::Open(upload.path);
  if (!input.ok()) return input.status();
  ProgressBar bar(session.progress_output(), "uploading", upload.unit);
  Outage outage(&bar);
  RefusedLines refused(input->name(), [&](const std::string& line) { bar.Say(line); });
  UploadOptions options;
  options.request_id = upload.request_id;
  UploadCallbacks callbacks;
  callbacks.on_progress = [&](const UploadProgress& progress) {
    outage.Over();
    ProgressView view;
    view.done = static_cast<double>(progress.accepted);
    // Lines are read ahead of their answers: what counts is the share of the answered ones.
    if (const std::optional<double> read = input->fraction(); read && input->line_number() > 0) {
      const int64_t answered = progress.accepted + refused.count();
      view.fraction = *read * static_cast<double>(answered) / static_cast<double>(input->line_number());
    }
    bar.Update(std::move(view));
  };
  callbacks.on_refused = [&](int64_t line, const v1::ItemError& error) { refused.Add(line, RefusalText(error)); };
  callbacks.on_resume = [&](const absl::Status& error) { outage.Broken(error); };
  absl::StatusOr<UploadProgress> done = start(RecordsOf<Item>(&*input, &refused, parse), options, callbacks);
  bar.Finish();
  if (!done.ok()) return done.status();
  PrintUploadSummary(session, upload, *done, refused.count());
  return refused.Summary(done->accepted);
}

}  // namespace tandem::cli
