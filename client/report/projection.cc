#include "client/report/projection.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

namespace tandem::report {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

// Directions kept while iterating. The error shrinks with the ratio of the 9th to the 2nd eigenvalue a round.
constexpr size_t kSubspace = 8;
constexpr int kMostRounds = 200;
constexpr double kConverged = 1e-9;  // Relative change of the two eigenvalues in a round.

double Dot(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Rows Centred(const Vectors& vectors) {
  Rows rows;
  Row mean(vectors[0].size(), 0.0);
  for (const auto& vector : vectors) {
    rows.emplace_back(vector.begin(), vector.end());
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += vector[i] / static_cast<double>(vectors.size());
  }
  for (Row& row : rows) {
    for (size_t i = 0; i < mean.size(); ++i) row[i] -= mean[i];
  }
  return rows;
}

// Gram and Schmidt, twice over for the digits. What depends on the rows before it becomes 0.
void Orthonormalize(Rows* directions) {
  for (size_t i = 0; i < directions->size(); ++i) {
    Row& row = (*directions)[i];
    const double before = std::sqrt(Dot(row, row));
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t j = 0; j < i; ++j) {
        const double share = Dot(row, (*directions)[j]);
        for (size_t k = 0; k < row.size(); ++k) row[k] -= share * (*directions)[j][k];
      }
    }
    const double length = std::sqrt(Dot(row, row));
    const double scale = length > 1e-12 * before && length > 0 ? 1 / length : 0;
    for (double& value : row) value *= scale;
  }
}

// Scatter matrix times each direction, without making the matrix.
Rows Multiply(const Rows& rows, const Rows& directions) {
  Rows result(directions.size(), Row(directions[0].size(), 0.0));
  for (const Row& row : rows) {
    for (size_t d = 0; d < directions.size(); ++d) {
      const double share = Dot(row, directions[d]);
      for (size_t i = 0; i < row.size(); ++i) result[d][i] += share * row[i];
    }
  }
  return result;
}

// Eigenvectors (rows of the result) of the symmetric `matrix`, largest eigenvalue first: Jacobi's rotations.
Rows Eigenvectors(Rows matrix, Row* values) {
  const size_t n = matrix.size();
  Rows vectors(n, Row(n, 0.0));
  for (size_t i = 0; i < n; ++i) vectors[i][i] = 1;
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        if (matrix[p][q] == 0) continue;
        const double angle = 0.5 * std::atan2(2 * matrix[p][q], matrix[q][q] - matrix[p][p]);
        const double c = std::cos(angle), s = std::sin(angle);
        for (size_t k = 0; k < n; ++k) {
          const double a = matrix[k][p], b = matrix[k][q];
          matrix[k][p] = c * a - s * b;
          matrix[k][q] = s * a + c * b;
        }
        for (size_t k = 0; k < n; ++k) {
          const double a = matrix[p][k], b = matrix[q][k], u = vectors[p][k], v = vectors[q][k];
          matrix[p][k] = c * a - s * b;
          matrix[q][k] = s * a + c * b;
          vectors[p][k] = c * u - s * v;
          vectors[q][k] = s * u + c * v;
        }
      }
    }
  }
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return matrix[a][a] > matrix[b][b]; });
  Rows sorted;
  values->clear();
  for (size_t i : order) {
    sorted.push_back(vectors[i]);
    values->push_back(matrix[i][i]);
  }
  return sorted;
}

// The best directions inside the subspace (Rayleigh and Ritz), largest eigenvalue first.
Rows Ritz(const Rows& directions, const Rows& products, Row* values) {
  const size_t n = directions.size();
  Rows small(n, Row(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j)
      small[i][j] = (Dot(directions[i], products[j]) + Dot(directions[j], products[i])) / 2;
  }
  const Rows weights = Eigenvectors(std::move(small), values);
  Rows result(n, Row(directions[0].size(), 0.0));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) {
      for (size_t k = 0; k < result[i].size(); ++k) result[i][k] += weights[i][j] * directions[j][k];
    }
  }
  return result;
}

// Numbers in [-1, 1) that are the same everywhere: SplitMix64 (Steele et al. 2014).
Rows Start(size_t count, size_t dimensions) {
  uint64_t state = 1;
  Rows rows(count, Row(dimensions));
  for (Row& row : rows) {
    for (double& value : row) {
      uint64_t z = state += 0x9E3779B97F4A7C15;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
      value = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1;
    }
  }
  return rows;
}

// Two unit vectors, or zeros where the rows differ in fewer directions.
Rows TwoDirections(const Rows& rows) {
  const size_t dimensions = rows[0].size();
  Rows directions = Start(std::min(kSubspace, dimensions), dimensions);
  Orthonormalize(&directions);
  Row values, before;
  for (int round = 0; round < kMostRounds; ++round) {
    Rows products = Multiply(rows, directions);
    directions = Ritz(directions, products, &values);
    const double total = values[0] + (values.size() > 1 ? values[1] : 0);
    if (!before.empty() && std::abs(total - before[0] - (before.size() > 1 ? before[1] : 0)) <= kConverged * total)
      break;
    before = values;
    directions = Multiply(rows, directions);
    Orthonormalize(&directions);
  }
  directions.resize(2, Row(dimensions, 0.0));
  for (Row& direction : directions) {
    const auto largest = std::max_element(direction.begin(), direction.end(),
                                          [](double a, double b) { return std::abs(a) < std::abs(b); });
    if (*largest < 0) {
      for (double& value : direction) value = -value;
    }
  }
  return directions;
}

}  // namespace

Projection Project(const std::vector<Vectors>& sets) {
  std::vector<Rows> centred;
  Rows all;
  for (const Vectors& set : sets) {
    centred.push_back(Centred(set));
    all.insert(all.end(), centred.back().begin(), centred.back().end());
  }
  const Rows directions = TwoDirections(all);
  Projection projection;
  for (const Rows& rows : centred) {
    std::vector<Point>& points = projection.sets.emplace_back();
    double held = 0, total = 0;
    for (const Row& row : rows) {
      points.push_back({Dot(row, directions[0]), Dot(row, directions[1])});
      held += points.back().x * points.back().x + points.back().y * points.back().y;
      total += Dot(row, row);
    }
    projection.explained.push_back(total > 0 ? held / total : 0);
  }
  return projection;
}

}  // namespace tandem::report
