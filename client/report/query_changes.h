#pragma once
// Queries that a change of model helped and hurt.

#include <string>
#include <vector>

namespace tandem::report {

struct QueryChange {
  std::string text;
  double before = 0, after = 0;  // Of a metric or a place, as the table's `format` writes it.
};

// Two tables beside each other, each in the order given; "" when both are empty.
std::string DrawQueryChanges(const std::vector<QueryChange>& gained, const std::vector<QueryChange>& lost,
                             std::string (*format)(double));

}  // namespace tandem::report
