#pragma once
// A table for people: aligned columns, widths as a terminal shows them.
//
//   Table table({{"NAME"}, {"DOCUMENTS", Table::kRight}});
//   table.AddRow({"docs", "10,000"});
//   table.Render(80)

#include <string>
#include <vector>

namespace tandem::cli {

class Table {
 public:
  enum Alignment { kLeft, kRight };
  struct Column {
    std::string title;
    Alignment alignment = kLeft;
  };

  explicit Table(std::vector<Column> columns);

  // REQUIRES: one cell for each column. Control characters in cells become spaces.
  void AddRow(std::vector<std::string> cells);

  // Lines ending in "\n"; a table without rows is its titles alone. With `width` > 0 the last column is cut so that
  // lines fit, but never below 16 columns.
  std::string Render(int width = 0) const;

 private:
  std::string RenderRow(const std::vector<std::string>& cells, const std::vector<int>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "name: value" lines with the values aligned; for showing one thing. Pairs with an empty value are left out.
std::string RenderFields(const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace tandem::cli
