#include "server/rpc/checks.h"

#include <algorithm>
#include <cmath>

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"

namespace tandem {
namespace {

absl::Status CheckValue(std::string_view path, const google::protobuf::Value& value) {
  using google::protobuf::Value;
  switch (value.kind_case()) {
    case Value::kNullValue:
      return CheckEnum(Path(path, "null_value"), value.null_value(), value.null_value() == 0, "NullValue");
    case Value::kNumberValue:
      if (std::isfinite(value.number_value())) return absl::OkStatus();
      return InvalidField(Path(path, "number_value"), Concat(value.number_value(), ": JSON holds finite numbers only"));
    case Value::kStringValue:
    case Value::kBoolValue:
      return absl::OkStatus();
    case Value::kStructValue:
      for (const auto& [key, element] : value.struct_value().fields()) {
        RETURN_IF_ERROR(CheckValue(Concat(path, ".struct_value.fields[", Quote(key), "]"), element));
      }
      return absl::OkStatus();
    case Value::kListValue:
      for (int i = 0; i < value.list_value().values_size(); ++i) {
        RETURN_IF_ERROR(CheckValue(Path(Path(path, "list_value.values"), i), value.list_value().values(i)));
      }
      return absl::OkStatus();
    case Value::KIND_NOT_SET:
      break;
  }
  return InvalidField(path, "has no value of any kind: use null_value for null");
}

}  // namespace

std::string Path(std::string_view prefix, std::string_view field) { return Concat(prefix, ".", field); }
std::string Path(std::string_view prefix, int index) { return Concat(prefix, "[", index, "]"); }

absl::Status CheckBytes(std::string_view path, std::string_view value, int64_t least, int64_t most) {
  const auto size = static_cast<int64_t>(value.size());
  if (size >= least && size <= most) return absl::OkStatus();
  if (size == 0) return InvalidField(path, "is empty");
  return InvalidField(path, Concat(size, " bytes: must have ", least, " to ", most));
}

absl::Status CheckText(std::string_view path, std::string_view text) {
  return CheckBytes(path, text, 1, kMaxTextBytes);
}

absl::Status CheckDocumentId(std::string_view path, std::string_view id) {
  RETURN_IF_ERROR(CheckBytes(path, id, 1, kMaxDocumentIdBytes));
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (std::none_of(id.begin(), id.end(), is_control)) return absl::OkStatus();
  return InvalidField(path, "has a control character, which an id must not have");
}

absl::Status CheckCount(std::string_view path, int64_t count, int64_t least, int64_t most) {
  if (count >= least && count <= most) return absl::OkStatus();
  return InvalidField(path, Concat(count, " elements: must have ", least, " to ", most));
}

absl::Status CheckFraction(std::string_view path, double value) {
  if (value >= 0 && value <= 1) return absl::OkStatus();
  return InvalidField(path, Concat(value, ": must be in [0, 1]"));
}

absl::Status CheckRequestId(std::string_view request_id) {
  return CheckBytes("request_id", request_id, 0, kMaxRequestIdBytes);
}

absl::Status CheckEtag(std::string_view etag) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (etag.size() <= 18 && std::all_of(etag.begin(), etag.end(), is_digit)) return absl::OkStatus();
  return InvalidField("etag", "is not an etag: pass Collection.etag as it came");
}

absl::Status CheckDuration(std::string_view path, const google::protobuf::Duration& duration, absl::Duration most) {
  const int64_t seconds = duration.seconds();
  RETURN_IF_ERROR(CheckRange(Path(path, "seconds"), seconds, 0, absl::ToInt64Seconds(most)));
  const int64_t most_nanos = seconds == absl::ToInt64Seconds(most) ? 0 : 999'999'999;
  return CheckRange(Path(path, "nanos"), duration.nanos(), 0, most_nanos);
}

absl::Status CheckPayload(std::string_view path, const google::protobuf::Struct& payload) {
  for (const auto& [key, value] : payload.fields()) {
    RETURN_IF_ERROR(CheckValue(Concat(path, ".fields[", Quote(key), "]"), value));
  }
  return absl::OkStatus();
}

absl::Status CheckEnum(std::string_view path, int value, bool known, std::string_view type, bool required) {
  if (!known) return InvalidField(path, Concat(value, ": is no ", type));
  if (required && value == 0) return InvalidField(path, Concat("must be set to a ", type));
  return absl::OkStatus();
}

}  // namespace tandem
