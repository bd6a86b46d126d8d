#include "server/storage/field_values.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>

#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

constexpr double kLargestInteger = 9007199254740992;  // 2^53: up to here a JSON number is exact.
constexpr size_t kMostKeywordBytes = 1024;

std::string Quoted(std::string_view text) { return Concat("\"", text.substr(0, 80), "\""); }

absl::Status NotOfType(const std::string& path, const FilterableField& field, const std::string& value) {
  return InvalidField(path, Concat(value, ": field \"", field.name, "\" is of type ", FieldTypeName(field.type)));
}

// What a message shows of a value.
std::string Shown(const json& value) {
  if (value.is_string()) return Quoted(value.get_ref<const std::string&>());
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return value.dump();
}

// RFC 3339 with its separators: ParseTime also takes white space and other spellings.
std::optional<int64_t> ParseMicros(const std::string& text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T') return std::nullopt;
  if (text[0] < '0' || text[0] > '9' || text.back() <= ' ') return std::nullopt;
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return std::nullopt;
  return absl::ToUnixMicros(time);
}

std::optional<int64_t> NumberOf(FieldType type, const json& value) {
  switch (type) {
    case FieldType::kInteger: {
      if (!value.is_number()) return std::nullopt;
      const double number = value.get<double>();
      if (std::trunc(number) != number || std::abs(number) > kLargestInteger) return std::nullopt;
      return static_cast<int64_t>(number);
    }
    case FieldType::kFloat:
      if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
      return FloatKey(value.get<double>());
    case FieldType::kBool:
      if (!value.is_boolean()) return std::nullopt;
      return value.get<bool>() ? 1 : 0;
    case FieldType::kDatetime:
      if (!value.is_string()) return std::nullopt;
      return ParseMicros(value.get_ref<const std::string&>());
    case FieldType::kKeyword:
      break;
  }
  return std::nullopt;
}

absl::Status AddValue(const FilterableField& field, const json& value, const std::string& path, FieldValues* out) {
  if (field.type != FieldType::kKeyword) {
    const std::optional<int64_t> number = NumberOf(field.type, value);
    if (!number) return NotOfType(path, field, Shown(value));
    out->numbers.push_back(*number);
    return absl::OkStatus();
  }
  if (!value.is_string()) return NotOfType(path, field, Shown(value));
  const std::string& keyword = value.get_ref<const std::string&>();
  if (keyword.size() > kMostKeywordBytes) {
    return InvalidField(path, Concat(keyword.size(), " bytes: a KEYWORD has at most ", kMostKeywordBytes));
  }
  out->keywords.push_back(keyword);
  return absl::OkStatus();
}

// Goes down `keys` from `value`. A list on the way, or at the end, stands for each of its elements.
absl::Status Collect(const FilterableField& field, const json& value, std::span<const std::string> keys, bool in_list,
                     const std::string& path, FieldValues* out) {
  if (value.is_null()) return absl::OkStatus();
  if (value.is_array() && !in_list) {
    for (size_t i = 0; i < value.size(); ++i) {
      RETURN_IF_ERROR(Collect(field, value[i], keys, /*in_list=*/true, Concat(path, "[", i, "]"), out));
    }
    return absl::OkStatus();
  }
  if (keys.empty()) return AddValue(field, value, path, out);
  if (!value.is_object()) {
    return InvalidField(path, Concat(Shown(value), ": must be an object, field \"", field.name, "\" lies in it"));
  }
  const auto found = value.find(keys[0]);
  if (found == value.end()) return absl::OkStatus();
  return Collect(field, *found, keys.subspan(1), /*in_list=*/false, Concat(path, ".", keys[0]), out);
}

template <typename T>
void Append(std::string& bytes, T value) {
  static_assert(std::endian::native == std::endian::little);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
bool Take(std::string_view& bytes, T& value) {
  if (bytes.size() < sizeof value) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return true;
}

bool TakeValue(bool keyword, std::string_view& bytes, FieldValues& values) {
  if (!keyword) return Take(bytes, values.numbers.emplace_back());
  uint32_t size = 0;
  if (!Take(bytes, size) || bytes.size() < size) return false;
  values.keywords.emplace_back(bytes.substr(0, size));
  bytes.remove_prefix(size);
  return true;
}

}  // namespace

std::string_view FieldTypeName(FieldType type) {
  switch (type) {
    case FieldType::kKeyword:
      return "KEYWORD";
    case FieldType::kInteger:
      return "INTEGER";
    case FieldType::kFloat:
      return "FLOAT";
    case FieldType::kBool:
      return "BOOL";
    case FieldType::kDatetime:
      return "DATETIME";
  }
  return "";
}

int64_t FloatKey(double value) {
  const auto bits = std::bit_cast<int64_t>(value == 0 ? 0.0 : value);
  return bits >= 0 ? bits : bits ^ std::numeric_limits<int64_t>::max();
}

absl::StatusOr<std::vector<FieldValues>> ReadFieldValues(const std::vector<FilterableField>& fields,
                                                         std::string_view payload_json) {
  std::vector<FieldValues> all;
  if (fields.empty() || payload_json.empty()) return all;
  const json payload = json::parse(payload_json, nullptr, /*allow_exceptions=*/false);
  if (!payload.is_object()) return InvalidField("payload", "must be a JSON object");
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::vector<std::string> keys = absl::StrSplit(fields[i].name, '.');
    FieldValues values{.field = static_cast<int>(i)};
    RETURN_IF_ERROR(Collect(fields[i], payload, keys, /*in_list=*/false, "payload", &values));
    if (!values.keywords.empty() || !values.numbers.empty()) all.push_back(std::move(values));
  }
  return all;
}

std::string PackFieldValues(const std::vector<FieldValues>& all) {
  std::string bytes;
  for (const FieldValues& values : all) {
    Append(bytes, static_cast<uint32_t>(values.field));
    Append(bytes, static_cast<uint32_t>(values.keywords.size() + values.numbers.size()));
    for (const int64_t number : values.numbers) Append(bytes, number);
    for (const std::string& keyword : values.keywords) {
      Append(bytes, static_cast<uint32_t>(keyword.size()));
      bytes += keyword;
    }
  }
  return bytes;
}

absl::StatusOr<std::vector<FieldValues>> UnpackFieldValues(const std::vector<FilterableField>& fields,
                                                           std::string_view bytes) {
  std::vector<FieldValues> all;
  while (!bytes.empty()) {
    uint32_t field = 0, count = 0;
    if (!Take(bytes, field) || !Take(bytes, count)) return absl::DataLossError("stored field values: cut short");
    if (field >= fields.size()) {
      return absl::DataLossError(Concat("stored field values: field ", field, " of ", fields.size()));
    }
    FieldValues& values = all.emplace_back(FieldValues{.field = static_cast<int>(field)});
    const bool keyword = fields[field].type == FieldType::kKeyword;
    for (uint32_t i = 0; i < count; ++i) {
      if (!TakeValue(keyword, bytes, values)) return absl::DataLossError("stored field values: cut short");
    }
  }
  return all;
}

}  // namespace tandem
