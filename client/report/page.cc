#include "client/report/page.h"

#include "absl/strings/str_cat.h"
#include "client/report/markup.h"
#include "client/report/page_style.h"

namespace tandem::report {
namespace {

constexpr size_t kLongValue = 64;  // Bytes; what is longer gets a line of its own.

absl::string_view StateClass(absl::string_view state) {
  if (state == "succeeded" || state == "live" || state == "ready") return "good";
  if (state == "failed") return "bad";
  return state == "running" || state == "building" || state == "previous" ? "on" : "";
}

std::string Cells(const std::vector<std::string>& cells, absl::string_view element) {
  std::string html = "<tr>";
  for (const std::string& cell : cells) absl::StrAppend(&html, "<", element, ">", cell, "</", element, ">");
  return html + "</tr>\n";
}

}  // namespace

std::string Page(absl::string_view kind, absl::string_view name, absl::string_view state, absl::string_view summary,
                 absl::string_view body) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta name=\"generator\" content=\"tandem\"/>\n<title>",
      Escape(kind), " ", Escape(Shorten(name, 200)), "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<main>\n",
      "<header>\n<p class=\"kind\">", Escape(kind), "</p>\n<h1>", UserText(name), " <span class=\"state ",
      StateClass(state), "\">", Escape(state), "</span></h1>\n<p>", summary, "</p>\n</header>\n", body,
      "<footer>Made by tandem. This file is complete in itself: it loads "
      "nothing.</footer>\n</main>\n</body>\n</html>\n");
}

std::string Section(absl::string_view title, absl::string_view body) {
  return absl::StrCat("<section>\n<h2>", Escape(title), "</h2>\n", body, "</section>\n");
}

std::string Facts(const std::vector<Fact>& facts) {
  std::string html = "<dl>\n";
  for (const Fact& fact : facts) {
    if (fact.value.empty()) continue;
    absl::StrAppend(&html, fact.value.size() > kLongValue ? "<div class=\"long\">" : "<div>", "<dt>",
                    Escape(Shorten(fact.name, 80)), "</dt><dd>", UserText(fact.value, 400), "</dd></div>\n");
  }
  return html + "</dl>\n";
}

std::string Tiles(const std::vector<Tile>& tiles) {
  std::string html = "<div class=\"tiles\">\n";
  for (const Tile& tile : tiles) {
    absl::StrAppend(&html, "<div class=\"tile\"><span>", Escape(tile.name), "</span><b>", Escape(tile.value),
                    "</b><span>", Escape(tile.note), "</span></div>\n");
  }
  return html + "</div>\n";
}

std::string Render(const DataTable& table) {
  std::string html = absl::StrCat("<table>\n<thead>", Cells(table.columns, "th"), "</thead>\n<tbody>\n");
  for (const auto& row : table.rows) html += Cells(row, "td");
  html += "</tbody>\n</table>\n";
  if (!table.note.empty()) absl::StrAppend(&html, "<p class=\"note\">", table.note, "</p>\n");
  return html;
}

std::string Render(const Figure& figure) {
  std::string html = absl::StrCat("<figure>\n<figcaption><b>", Escape(figure.title), "</b>", Escape(figure.explanation),
                                  "</figcaption>\n");
  if (!figure.legend.empty()) absl::StrAppend(&html, "<div class=\"legend\">", figure.legend, "</div>\n");
  html += figure.svg;
  if (!figure.numbers.rows.empty()) {
    html += Details("Numbers", absl::StrCat("<div class=\"scroll\">", Render(figure.numbers), "</div>\n"));
  }
  return html + "</figure>\n";
}

std::string Row(const std::vector<std::string>& figures) {
  std::string html = figures.size() == 2 ? "<div class=\"row wide\">\n" : "<div class=\"row\">\n";
  for (const std::string& figure : figures) html += figure;
  return html + "</div>\n";
}

std::string Details(absl::string_view summary, absl::string_view body) {
  return absl::StrCat("<details><summary>", Escape(summary), "</summary>\n", body, "</details>\n");
}

}  // namespace tandem::report
