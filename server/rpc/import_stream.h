#pragma once
// What AppendExamples and ImportDocuments share: the order of a stream's messages, and elements that are refused one by
// one while the others are taken.

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"

namespace tandem::v1 {
class ItemError;
}

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}

namespace tandem {

// Within one stream sequences go up by one; a stream without a request_id begins with 1. (With one, storage knows where
// the last stream ended.)
absl::Status CheckSequence(int64_t sequence, int64_t last, bool has_request_id);

// The refused elements of one message.
class RefusedItems {
 public:
  void Add(int index, const absl::Status& status);
  std::string ToJson() const { return json_.dump(); }  // What is stored beside the message, for when it is sent again.

 private:
  nlohmann::json json_ = nlohmann::json::array();
};

void FromRefusedJson(std::string_view json, google::protobuf::RepeatedPtrField<v1::ItemError>* out);

}  // namespace tandem
