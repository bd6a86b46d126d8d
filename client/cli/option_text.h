#pragma once
// Options of a message as people write them on the command line: "mining=batch-hard,margin=0.3,symmetric". The names
// are those of the message's fields, with "-" for "_" if one likes, and are read from its descriptor; a truth value
// alone is true. An error says what there is to choose from.

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tandem::cli {

// "batch-hard" -> "batch_hard".
std::string FieldNameOf(absl::string_view word);

// Sets one field, which is an enum, a truth value or a number.
absl::Status SetOption(absl::string_view name, absl::string_view value, google::protobuf::Message* message);

// Sets those of "name=value,name=value,name".
absl::Status SetOptions(absl::string_view options, google::protobuf::Message* message);

// "margin=NUMBER", "symmetric", "distance=euclidean|cosine".
std::string DescribeOption(const google::protobuf::FieldDescriptor& field);

// The names of all fields.
std::string OptionNames(const google::protobuf::Descriptor& type);

// The message that `json`, given with the option `flag`, is; its fields as in the .proto files.
absl::Status FromJson(absl::string_view flag, const std::string& json, google::protobuf::Message* message);

}  // namespace tandem::cli
