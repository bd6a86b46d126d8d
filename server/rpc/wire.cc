#include "server/rpc/wire.h"

#include <memory>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>
#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

std::string Join(std::string_view prefix, std::string_view field) {
  return prefix.empty() ? std::string(field) : Concat(prefix, ".", field);
}

// The path of the first string below `type` whose bytes are not UTF-8; empty when there is none or the bytes are no
// message.
std::string FindInvalidUtf8(std::string_view bytes, const Descriptor& type, const std::string& prefix, int depth) {
  if (depth > 100) return "";
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  std::vector<int> seen(type.field_count(), 0);
  while (const uint32_t tag = in.ReadTag()) {
    const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    if (field == nullptr || WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED ||
        (field->type() != FieldDescriptor::TYPE_STRING && field->type() != FieldDescriptor::TYPE_MESSAGE)) {
      if (!WireFormatLite::SkipField(&in, tag)) return "";
      continue;
    }
    uint32_t length = 0;
    if (!in.ReadVarint32(&length)) return "";
    const size_t start = static_cast<size_t>(in.CurrentPosition());
    if (length > bytes.size() - start || !in.Skip(static_cast<int>(length))) return "";
    const std::string_view value = bytes.substr(start, length);
    std::string path = Join(prefix, field->name());
    if (field->is_repeated()) path += Concat("[", seen[field->index()]++, "]");
    if (field->type() == FieldDescriptor::TYPE_STRING) {
      if (!IsUtf8(value)) return path;
    } else if (std::string found = FindInvalidUtf8(value, *field->message_type(), path, depth + 1); !found.empty()) {
      return found;
    }
  }
  return "";
}

absl::Status RefuseUnknownFields(const Message& message, const std::string& prefix) {
  const auto* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  if (!unknown.empty()) {
    const int number = unknown.field(0).number();
    return InvalidField(Join(prefix, Concat("#", number)),
                        Concat("this server knows no field ", number, " of ", message.GetTypeName()));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const std::string path = Join(prefix, field->name());
    if (!field->is_repeated()) {
      RETURN_IF_ERROR(RefuseUnknownFields(reflection->GetMessage(message, field), path));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      const Message& element = reflection->GetRepeatedMessage(message, field, i);
      RETURN_IF_ERROR(RefuseUnknownFields(element, Concat(path, "[", i, "]")));
    }
  }
  return absl::OkStatus();
}

std::string Bytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

absl::Status ExplainRefusal(std::string_view bytes, const Message& message) {
  const std::string path = FindInvalidUtf8(bytes, *message.GetDescriptor(), "", 0);
  if (!path.empty()) return InvalidField(path, "is not valid UTF-8");
  return absl::InvalidArgumentError(
      Concat("the request's ", bytes.size(), " bytes are no message of type ", message.GetTypeName()));
}

}  // namespace

absl::Status ParseMessage(const grpc::ByteBuffer& bytes, Message* message) {
  grpc::ByteBuffer copy = bytes;  // Shares the slices; the reader wants it mutable.
  grpc::ProtoBufferReader reader(&copy);
  if (!reader.status().ok() || !message->ParseFromZeroCopyStream(&reader))
    return ExplainRefusal(Bytes(bytes), *message);
  return RefuseUnknownFields(*message, "");
}

absl::Status ParseMessage(std::string_view bytes, Message* message) {
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return ExplainRefusal(bytes, *message);
  return RefuseUnknownFields(*message, "");
}

grpc::ByteBuffer SerializeMessage(const Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

std::string Fingerprint(const Message& request) {
  std::unique_ptr<Message> copy(request.New());
  copy->CopyFrom(request);
  if (const auto* field = copy->GetDescriptor()->FindFieldByName("request_id"); field != nullptr) {
    copy->GetReflection()->ClearField(copy.get(), field);
  }
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    copy->SerializeToCodedStream(&out);
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest), sizeof(digest)});
}

size_t Utf8PrefixLength(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
    const unsigned first = byte(i);
    size_t length = 1;
    unsigned low = 0x80, high = 0xBF;  // Of the second byte.
    if (first < 0x80) {
      ++i;
      continue;
    } else if (first >= 0xC2 && first <= 0xDF) {
      length = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
      length = 3;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
      length = 4;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return i;
    }
    if (byte(i + 1) < low || byte(i + 1) > high) return i;
    for (size_t k = 2; k < length; ++k) {
      if (byte(i + k) < 0x80 || byte(i + k) > 0xBF) return i;
    }
    i += length;
  }
  return i;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const size_t good = Utf8PrefixLength(text);
    clean.append(text.substr(0, good));
    text.remove_prefix(good);
    if (!text.empty()) {
      clean.append("\xEF\xBF\xBD");
      text.remove_prefix(1);
    }
  }
  return clean;
}

}  // namespace tandem
