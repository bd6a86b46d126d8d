#include "server/rpc/import_stream.h"

#include <google/protobuf/repeated_ptr_field.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/convert.h"
#include "tandem/v1/types.pb.h"

namespace tandem {

absl::Status CheckSequence(int64_t sequence, int64_t last, bool has_request_id) {
  if (sequence == last + 1 || (last == 0 && has_request_id)) return absl::OkStatus();
  return InvalidField("sequence", Concat(sequence, ": must be ", last + 1, ", the one after the last message's"));
}

void RefusedItems::Add(int index, const absl::Status& status) { json_.push_back(ItemErrorJson(index, status)); }

void FromRefusedJson(std::string_view json, google::protobuf::RepeatedPtrField<v1::ItemError>* out) {
  const nlohmann::json errors = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!errors.is_array()) return;
  for (const nlohmann::json& error : errors) FromItemErrorJson(error, out->Add());
}

}  // namespace tandem
