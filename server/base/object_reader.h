#pragma once
// Takes the values of one JSON object into variables by key, for options that were written to disk. A key that is
// missing leaves its variable as it is; one of another type or out of its type's range, and one that nobody reads, is
// INVALID_ARGUMENT. The first fault stays.
//
//   ObjectReader reader("trainer options", json);
//   reader.Read("epochs", options.epochs);
//   reader.ReadEnum("schedule", options.schedule, Schedule::kConstant);
//   RETURN_IF_ERROR(reader.Finish());

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "server/base/strings.h"

namespace tandem {

class ObjectReader {
 public:
  // `what` begins each error; `json` outlives the reader.
  ObjectReader(std::string_view what, const nlohmann::json& json) : what_(what), json_(json) {
    if (!json.is_object()) Fail("not a JSON object");
  }

  // Numbers, bool, text, std::optional, std::vector and std::array of them.
  template <typename T>
  void Read(const char* key, T& out) {
    const nlohmann::json* const value = Find(key);
    if (value != nullptr && !Take(*value, out)) FailAt(key, *value);
  }

  // An enum, or an optional one, whose values count from 1 to `last` without a gap.
  template <typename T, typename Enum>
  void ReadEnum(const char* key, T& out, Enum last) {
    const nlohmann::json* const value = Find(key);
    if (value == nullptr) return;
    int number = 0;
    if (Take(*value, number) && number >= 1 && number <= static_cast<int>(last)) {
      out = static_cast<Enum>(number);
    } else {
      FailAt(key, *value);
    }
  }

  // The value itself, for the caller to look into; null when it is missing or a fault came before.
  const nlohmann::json* Find(const char* key) {
    known_.insert(key);
    if (!status_.ok()) return nullptr;
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  absl::Status Finish() {
    if (!status_.ok()) return status_;
    for (const auto& [key, value] : json_.items()) {
      if (!known_.contains(key)) Fail(Concat("unknown key \"", key, "\""));
    }
    return status_;
  }

 private:
  void Fail(std::string_view fault) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(Concat(what_, ": ", fault));
  }

  void FailAt(const char* key, const nlohmann::json& value) {
    Fail(Concat(key, ": ", value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace),
                " is not of the type or range that this key has"));
  }

  template <typename T>
  static bool Take(const nlohmann::json& value, std::optional<T>& out) {
    T inner{};
    if (!Take(value, inner)) return false;
    out = inner;
    return true;
  }

  template <typename T>
  static bool Take(const nlohmann::json& value, std::vector<T>& out) {
    if (!value.is_array()) return false;
    std::vector<T> all(value.size());
    for (size_t i = 0; i < all.size(); ++i) {
      if (!Take(value[i], all[i])) return false;
    }
    out = std::move(all);
    return true;
  }

  template <typename T, size_t n>
  static bool Take(const nlohmann::json& value, std::array<T, n>& out) {
    std::vector<T> all;
    if (!Take(value, all) || all.size() != n) return false;
    std::move(all.begin(), all.end(), out.begin());
    return true;
  }

  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_same_v<T, std::string>
  static bool Take(const nlohmann::json& value, T& out) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (!value.is_string()) return false;
    } else if constexpr (std::is_same_v<T, bool>) {
      if (!value.is_boolean()) return false;
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!value.is_number() || std::abs(value.template get<double>()) > std::numeric_limits<T>::max()) return false;
    } else {
      if (!value.is_number_integer()) return false;
      if (value.is_number_unsigned() && value.template get<uint64_t>() > INT64_MAX) return false;
      const int64_t wide = value.template get<int64_t>();
      if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) return false;
    }
    out = value.template get<T>();
    return true;
  }

  const std::string what_;
  const nlohmann::json& json_;
  std::set<std::string, std::less<>> known_;
  absl::Status status_;
};

}  // namespace tandem
