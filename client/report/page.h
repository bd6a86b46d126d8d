#pragma once
// The parts of a page: one HTML file that needs nothing else. It follows the reader's choice of light or dark, and
// prints.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem::report {

// A name and what a user or the server calls it; drawn escaped, left out when the value is empty.
struct Fact {
  std::string name, value;
};

// One large number at the top of a page. `change` says what it was before, or nothing.
struct Tile {
  std::string name, value, note;
};

// Cells are HTML. The first column stands left, the others right.
struct DataTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::string note;  // Below it; HTML.
};

struct Figure {
  std::string title;        // Plain text, as are...
  std::string explanation;  // ...these: what is seen, and how it was computed.
  std::string legend, svg;  // HTML.
  DataTable numbers;        // Shown when the reader opens it.
};

// The document. `name` and `state` are escaped here; `summary` and `body` are HTML. `state` is lower case: "succeeded".
std::string Page(absl::string_view kind, absl::string_view name, absl::string_view state, absl::string_view summary,
                 absl::string_view body);

std::string Section(absl::string_view title, absl::string_view body);
std::string Facts(const std::vector<Fact>& facts);
std::string Tiles(const std::vector<Tile>& tiles);
std::string Render(const DataTable& table);
std::string Render(const Figure& figure);
std::string Row(const std::vector<std::string>& figures);  // Side by side where there is room.

// `body` behind a line to open.
std::string Details(absl::string_view summary, absl::string_view body);

}  // namespace tandem::report
