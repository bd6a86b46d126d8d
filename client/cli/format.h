#pragma once
// Numbers, times and messages as text.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"
#include "tandem/v1/types.pb.h"

namespace tandem::cli {

std::string FormatCount(int64_t count);            // 12345 -> "12,345"
std::string FormatBytes(int64_t bytes);            // 1572864 -> "1.5 MiB"
std::string FormatClock(absl::Duration duration);  // 75 s -> "1:15"; an hour and more "1:02:03"
std::string FormatMetric(double value);            // 0.81234 -> "0.8123"
std::string FormatTime(
    const google::protobuf::Timestamp& time);  // "2026-11-24 10:25:48" in local time; "" when not set.
std::string FormatWindow(const google::protobuf::Duration& duration);  // 86400 s -> "24h"

absl::Duration ToDuration(const google::protobuf::Duration& duration);
// What a server says of the time that work still needs; nullopt for 0, which it says while it cannot know.
std::optional<absl::Duration> TimeLeft(const google::protobuf::Duration& duration);
google::protobuf::Duration ToProto(absl::Duration duration);

// One line of JSON with the fields' names as in the .proto files, zero values included.
std::string ToJson(const google::protobuf::Message& message);

// The name of an enum value without its enum's prefix, in lower case: "running", "end".
std::string EnumName(absl::string_view name);

}  // namespace tandem::cli
