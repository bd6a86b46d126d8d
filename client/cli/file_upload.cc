#include "client/cli/file_upload.h"

#include <nlohmann/json.hpp>

namespace tandem::cli {

std::string RefusalText(const v1::ItemError& error) {
  if (error.field().empty() || error.message().find(error.field()) != std::string::npos) return error.message();
  return absl::StrCat(error.field(), ": ", error.message());
}

void PrintUploadSummary(Session& session, const FileUpload& upload, const UploadProgress& done, int64_t refused) {
  if (session.json) {
    session.PrintLine(nlohmann::json{
        {"parent", upload.parent}, {"accepted", done.accepted}, {"refused", refused}, {"commit", done.commit}}
                          .dump());
    return;
  }
  session.PrintLine(absl::StrCat(FormatCount(done.accepted), " ", upload.unit, " added to ", upload.parent,
                                 done.accepted > 0 ? absl::StrCat(" (commit ", done.commit, ")") : ""));
}

}  // namespace tandem::cli
