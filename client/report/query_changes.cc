#include "client/report/query_changes.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/report/markup.h"
#include "client/report/page.h"

namespace tandem::report {
namespace {

std::string OneTable(absl::string_view title, absl::string_view nothing, const std::vector<QueryChange>& changes,
                     std::string (*format)(double)) {
  if (changes.empty()) return absl::StrCat("<p class=\"note\">", nothing, "</p>\n");
  DataTable table{.columns = {Escape(title), "before", "after"}};
  for (const QueryChange& change : changes) {
    table.rows.push_back({UserText(change.text, 110), format(change.before), format(change.after)});
  }
  return absl::StrCat("<figure>", Render(table), "</figure>\n");
}

}  // namespace

std::string DrawQueryChanges(const std::vector<QueryChange>& gained, const std::vector<QueryChange>& lost,
                             std::string (*format)(double)) {
  if (gained.empty() && lost.empty()) return "";
  return Row({OneTable("gained most", "No query gained.", gained, format),
              OneTable("lost most", "No query lost.", lost, format)});
}

}  // namespace tandem::report
