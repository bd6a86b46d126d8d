#pragma once
// One page of a list call. The caller asks storage for one record more than the page holds, so that a next page is
// known to be there; of long records storage may give fewer, once their texts alone are over kMaxPageBytes.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/repeated_ptr_field.h>

#include "server/rpc/limits.h"
#include "server/rpc/names.h"

namespace tandem {

// Adds records until `size` are there or the next would take the page over kMaxPageBytes (the first is always added).
// `convert(record, message)` fills one in. Returns the token of the next page, made of `key` of the last record added;
// empty when all are there.
template <class Record, class Message, class Convert, class Key>
std::string FillPage(std::string_view list, int size, const std::vector<Record>& records,
                     google::protobuf::RepeatedPtrField<Message>* out, Convert convert, Key key) {
  int64_t bytes = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    if (i == static_cast<size_t>(size)) return PageToken(list, key(records[i - 1]));
    convert(records[i], out->Add());
    bytes += static_cast<int64_t>(out->rbegin()->ByteSizeLong());
    if (bytes <= kMaxPageBytes || i == 0) continue;
    out->RemoveLast();
    return PageToken(list, key(records[i - 1]));
  }
  return "";
}

}  // namespace tandem
