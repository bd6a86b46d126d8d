#include "client/cli/outage.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem::cli {

void Outage::Broken(const absl::Status& error) {
  if (said_) return;
  said_ = true;
  const absl::string_view message = error.message();
  bar_->Say(absl::StrCat("the connection broke (", message.substr(0, message.find('\n')),
                         "); going on as soon as the server answers"));
}

}  // namespace tandem::cli
