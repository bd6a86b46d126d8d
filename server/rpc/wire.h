#pragma once
// Messages and their bytes. Requests are parsed here and not by generated code, because gRPC answers bytes that
// protobuf refuses with an UNIMPLEMENTED that says nothing; here the field is named. A field that this server does not
// know is refused too: an option of a newer client must not be ignored.

#include <string>
#include <string_view>

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// INVALID_ARGUMENT with the path of the string that is not UTF-8, or of the field that is unknown ("options.#99").
absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);
absl::Status ParseMessage(std::string_view bytes, google::protobuf::Message* message);

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

// Lower-case hexadecimal SHA-256 of the deterministic serialisation without the field "request_id".
std::string Fingerprint(const google::protobuf::Message& request);

// Length of the longest prefix that is UTF-8 (RFC 3629: no surrogates, nothing overlong).
size_t Utf8PrefixLength(std::string_view text);
inline bool IsUtf8(std::string_view text) { return Utf8PrefixLength(text) == text.size(); }
std::string ReplaceInvalidUtf8(std::string_view text);  // With U+FFFD a byte.

}  // namespace tandem
