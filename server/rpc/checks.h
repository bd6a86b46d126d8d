#pragma once
// The checks that validate_*.cc are made of, beside those of field_checks.h. Each returns InvalidField on `path`, with
// the value and the limit.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/base/field_checks.h"

namespace google::protobuf {
class Duration;
class Struct;
}  // namespace google::protobuf

namespace tandem {

std::string Path(std::string_view prefix, std::string_view field);  // "prefix.field"
std::string Path(std::string_view prefix, int index);               // "prefix[3]"

absl::Status CheckBytes(std::string_view path, std::string_view value, int64_t least, int64_t most);
absl::Status CheckText(std::string_view path, std::string_view text);      // 1 byte to 1 MiB.
absl::Status CheckDocumentId(std::string_view path, std::string_view id);  // 1 to 256 bytes, no control characters.
absl::Status CheckCount(std::string_view path, int64_t count, int64_t least, int64_t most);
absl::Status CheckFraction(std::string_view path, double value);  // [0, 1]; not NaN.
absl::Status CheckRequestId(std::string_view request_id);
absl::Status CheckEtag(std::string_view etag);  // Empty or a number, as Collection.etag is.
absl::Status CheckDuration(std::string_view path, const google::protobuf::Duration& duration, absl::Duration most);
absl::Status CheckPayload(std::string_view path, const google::protobuf::Struct& payload);  // What JSON can hold.

// `known` is what Foo_IsValid says; `required`: 0 (_UNSPECIFIED) is refused too.
absl::Status CheckEnum(std::string_view path, int value, bool known, std::string_view type, bool required = false);

}  // namespace tandem
