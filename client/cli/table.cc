#include "client/cli/table.h"

#include <algorithm>
#include <utility>

#include "client/cli/display_width.h"

namespace tandem::cli {
namespace {

constexpr int kGap = 2;
constexpr int kNarrowest = 16;

std::string Spaces(int count) { return std::string(static_cast<size_t>(std::max(0, count)), ' '); }

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = OneLine(cell);
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::Render(int width) const {
  std::vector<std::string> titles;
  std::vector<int> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    titles.push_back(columns_[i].title);
    int widest = DisplayWidth(columns_[i].title);
    for (const auto& row : rows_) widest = std::max(widest, DisplayWidth(row[i]));
    widths.push_back(widest);
  }
  if (width > 0) {
    int before_last = 0;
    for (size_t i = 0; i + 1 < widths.size(); ++i) before_last += widths[i] + kGap;
    widths.back() = std::min(widths.back(), std::max(kNarrowest, width - before_last));
  }
  std::string result = RenderRow(titles, widths);
  for (const auto& row : rows_) result += RenderRow(row, widths);
  return result;
}

std::string Table::RenderRow(const std::vector<std::string>& cells, const std::vector<int>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string cell = i + 1 == cells.size() ? FitWidth(cells[i], widths[i]) : cells[i];
    const std::string padding = Spaces(widths[i] - DisplayWidth(cell));
    line += columns_[i].alignment == kRight ? padding + cell : cell + padding;
    if (i + 1 < cells.size()) line += Spaces(kGap);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string RenderFields(const std::vector<std::pair<std::string, std::string>>& fields) {
  int widest = 0;
  for (const auto& [name, value] : fields) {
    if (!value.empty()) widest = std::max(widest, DisplayWidth(name));
  }
  std::string result;
  for (const auto& [name, value] : fields) {
    if (value.empty()) continue;
    result += name + ":" + Spaces(widest - DisplayWidth(name) + 1) + OneLine(value) + "\n";
  }
  return result;
}

}  // namespace tandem::cli
