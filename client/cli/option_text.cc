#include "client/cli/option_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/error.h"

namespace tandem::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// BATCH_HARD -> "batch-hard".
std::string WordOf(absl::string_view enum_value) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(enum_value), {{"_", "-"}});
}

// Values but the one that stands for "not set".
std::vector<std::string> Choices(const EnumDescriptor& type) {
  std::vector<std::string> words;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) words.push_back(WordOf(type.value(i)->name()));
  }
  return words;
}

absl::Status SetEnum(const FieldDescriptor& field, absl::string_view value, Message* message) {
  const EnumDescriptor& type = *field.enum_type();
  const auto* const found = type.FindValueByName(absl::AsciiStrToUpper(FieldNameOf(value)));
  if (found == nullptr || found->number() == 0) {
    return BadInput(field.name(), absl::StrCat("'", value, "' is none of ", absl::StrJoin(Choices(type), ", ")));
  }
  message->GetReflection()->SetEnum(message, &field, found);
  return absl::OkStatus();
}

absl::Status SetBool(const FieldDescriptor& field, absl::string_view value, Message* message) {
  bool flag = false;
  if (!absl::SimpleAtob(value, &flag)) {
    return BadInput(field.name(), absl::StrCat("'", value, "' is neither true nor false"));
  }
  message->GetReflection()->SetBool(message, &field, flag);
  return absl::OkStatus();
}

absl::Status SetWhole(const FieldDescriptor& field, absl::string_view value, Message* message) {
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  const bool wide = field.cpp_type() == FieldDescriptor::CPPTYPE_INT64;
  int32_t narrow_number = 0;
  int64_t number = 0;
  if (wide ? !absl::SimpleAtoi(value, &number) : !absl::SimpleAtoi(value, &narrow_number)) {
    return BadInput(field.name(), absl::StrCat("'", value, "' is no whole number"));
  }
  if (wide) {
    reflection.SetInt64(message, &field, number);
  } else {
    reflection.SetInt32(message, &field, narrow_number);
  }
  return absl::OkStatus();
}

absl::Status SetNumber(const FieldDescriptor& field, absl::string_view value, Message* message) {
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  const bool wide = field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
  float narrow_number = 0;
  double number = 0;
  if (wide ? !absl::SimpleAtod(value, &number) : !absl::SimpleAtof(value, &narrow_number)) {
    return BadInput(field.name(), absl::StrCat("'", value, "' is no number"));
  }
  if (wide) {
    reflection.SetDouble(message, &field, number);
  } else {
    reflection.SetFloat(message, &field, narrow_number);
  }
  return absl::OkStatus();
}

}  // namespace

std::string FieldNameOf(absl::string_view word) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(absl::StripAsciiWhitespace(word)), {{"-", "_"}});
}

absl::Status SetOption(absl::string_view name, absl::string_view value, Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  const FieldDescriptor* const field = type.FindFieldByName(FieldNameOf(name));
  if (field == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("no option '", name, "'; there is ", OptionNames(type)));
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(*field, value, message);
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(*field, value, message);
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return SetWhole(*field, value, message);
    default:
      return SetNumber(*field, value, message);
  }
}

absl::Status SetOptions(absl::string_view options, Message* message) {
  const Descriptor& type = *message->GetDescriptor();
  for (const absl::string_view option : absl::StrSplit(options, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(option, absl::MaxSplits('=', 1));
    const FieldDescriptor* const field = type.FindFieldByName(FieldNameOf(parts.first));
    const bool alone =
        field != nullptr && !absl::StrContains(option, '=') && field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL;
    const absl::Status set = SetOption(parts.first, alone ? "true" : parts.second, message);
    if (!set.ok()) return set;
  }
  return absl::OkStatus();
}

std::string DescribeOption(const FieldDescriptor& field) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    return absl::StrCat(field.name(), "=", absl::StrJoin(Choices(*field.enum_type()), "|"));
  }
  return field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL ? field.name() : absl::StrCat(field.name(), "=NUMBER");
}

std::string OptionNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return names.empty() ? "none" : absl::StrJoin(names, ", ");
}

absl::Status FromJson(absl::string_view flag, const std::string& json, google::protobuf::Message* message) {
  const auto status = google::protobuf::util::JsonStringToMessage(json, message);
  if (status.ok()) return absl::OkStatus();
  return BadInput(flag, absl::StrCat("must be a ", message->GetDescriptor()->name(), " as JSON: ", status.ToString()));
}

}  // namespace tandem::cli
