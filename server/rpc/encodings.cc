#include "server/rpc/encodings.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/limits.h"
#include "tandem/v1/types.pb.h"

namespace tandem {
namespace {

static_assert(std::endian::native == std::endian::little, "packed vectors are copied as they lie in memory");

// IEEE 754 binary16, rounded to nearest, ties to even.
uint16_t ToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // Rounds to above 65504.
  if (magnitude < 0x38800000) {                       // Subnormal: a multiple of 2^-24.
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;
    return sign | static_cast<uint16_t>(std::nearbyint(scaled));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>((rounded - 0x38000000) >> 13);
}

float FromHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  if (magnitude < 0x400)
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
  return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000));
}

void EncodeInt8(std::span<const float> values, v1::Vector* out) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  const float scale = largest > 0 ? largest / 127 : 1;
  std::string bytes(values.size(), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    bytes[i] = static_cast<char>(static_cast<int8_t>(std::clamp(std::nearbyint(values[i] / scale), -127.0f, 127.0f)));
  }
  out->set_packed(std::move(bytes));
  out->set_scale(scale);
}

int BytesPerValue(v1::VectorEncoding encoding) {
  return encoding == v1::PACKED_FLOAT32 ? 4 : encoding == v1::FLOAT16 ? 2 : 1;
}

std::string Below(std::string_view path, std::string_view field) { return Concat(path, ".", field); }

absl::Status CheckShape(std::string_view path, const v1::Vector& vector) {
  const v1::VectorEncoding encoding = vector.encoding();
  if (!v1::VectorEncoding_IsValid(encoding)) {
    return InvalidField(Below(path, "encoding"), Concat(static_cast<int>(encoding), ": is no VectorEncoding"));
  }
  if (encoding == v1::BINARY) return InvalidField(Below(path, "encoding"), "BINARY: is for output only");
  const bool packed = encoding != v1::VECTOR_ENCODING_UNSPECIFIED && encoding != v1::FLOATS;
  if (packed && vector.values_size() > 0) {
    return InvalidField(Below(path, "values"), "must be empty when `encoding` says that `packed` holds the vector");
  }
  if (!packed && !vector.packed().empty()) {
    return InvalidField(Below(path, "packed"), "needs `encoding` PACKED_FLOAT32, FLOAT16 or INT8");
  }
  if (packed && vector.packed().size() % BytesPerValue(encoding) != 0) {
    return InvalidField(Below(path, "packed"), Concat(vector.packed().size(), " bytes: must be a multiple of ",
                                                      BytesPerValue(encoding), " in this encoding"));
  }
  const float scale = vector.scale();
  if (encoding != v1::INT8 && scale != 0) return InvalidField(Below(path, "scale"), "is for `encoding` INT8 only");
  if (encoding == v1::INT8 && !(scale > 0 && std::isfinite(scale))) {
    return InvalidField(Below(path, "scale"), Concat(scale, ": must be finite and above 0 with INT8"));
  }
  const size_t count = packed ? vector.packed().size() / BytesPerValue(encoding) : vector.values_size();
  if (count >= 1 && count <= kMaxDimensions) return absl::OkStatus();
  return InvalidField(Below(path, packed ? "packed" : "values"),
                      Concat(count, " values: must have 1 to ", kMaxDimensions));
}

std::vector<float> Unpack(const v1::Vector& vector) {
  const std::string& bytes = vector.packed();
  std::vector<float> values(bytes.size() / BytesPerValue(vector.encoding()));
  if (vector.encoding() == v1::PACKED_FLOAT32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  } else if (vector.encoding() == v1::FLOAT16) {
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t half;
      std::memcpy(&half, bytes.data() + 2 * i, 2);
      values[i] = FromHalf(half);
    }
  } else {
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int8_t>(bytes[i]) * vector.scale();
  }
  return values;
}

}  // namespace

void EncodeVector(std::span<const float> values, v1::VectorEncoding encoding, v1::Vector* out) {
  std::string bytes;
  out->set_encoding(encoding == v1::VECTOR_ENCODING_UNSPECIFIED ? v1::FLOATS : encoding);
  switch (encoding) {
    case v1::PACKED_FLOAT32:
      out->set_packed(values.data(), values.size() * sizeof(float));
      return;
    case v1::FLOAT16:
      bytes.resize(values.size() * 2);
      for (size_t i = 0; i < values.size(); ++i) {
        const uint16_t half = ToHalf(values[i]);
        std::memcpy(bytes.data() + 2 * i, &half, 2);
      }
      out->set_packed(std::move(bytes));
      return;
    case v1::INT8:
      EncodeInt8(values, out);
      return;
    case v1::BINARY:
      bytes.assign((values.size() + 7) / 8, '\0');
      for (size_t i = 0; i < values.size(); ++i) {
        if (values[i] > 0) bytes[i / 8] = static_cast<char>(bytes[i / 8] | 1 << i % 8);
      }
      out->set_packed(std::move(bytes));
      return;
    case v1::VECTOR_ENCODING_UNSPECIFIED:
    case v1::FLOATS:
    case v1::VectorEncoding_INT_MIN_SENTINEL_DO_NOT_USE_:
    case v1::VectorEncoding_INT_MAX_SENTINEL_DO_NOT_USE_:
      out->mutable_values()->Add(values.begin(), values.end());
  }
}

absl::StatusOr<std::vector<float>> DecodeVector(std::string_view path, const v1::Vector& vector) {
  RETURN_IF_ERROR(CheckShape(path, vector));
  const bool packed = !vector.packed().empty();
  std::vector<float> values =
      packed ? Unpack(vector) : std::vector<float>(vector.values().begin(), vector.values().end());
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return InvalidField(packed ? Below(path, "packed") : Concat(path, ".values[", i, "]"),
                        Concat("value ", i, " is ", values[i], ": must be finite"));
  }
  return values;
}

}  // namespace tandem
