#include "server/rpc/encodings.h"

#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/status.h"
#include "tandem/v1/types.pb.h"

namespace tandem {
namespace {

std::vector<float> RoundTrip(const std::vector<float>& values, v1::VectorEncoding encoding) {
  v1::Vector vector;
  EncodeVector(values, encoding, &vector);
  const auto decoded = DecodeVector("vector", vector);
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return decoded.ok() ? *decoded : std::vector<float>();
}

TEST(EncodingsTest, FloatsComeBackExactly) {
  const std::vector<float> values = {0.1f, -2.5f, 0, 1e-30f, -0.0f};
  EXPECT_EQ(RoundTrip(values, v1::FLOATS), values);
  EXPECT_EQ(RoundTrip(values, v1::VECTOR_ENCODING_UNSPECIFIED), values);
  EXPECT_EQ(RoundTrip(values, v1::PACKED_FLOAT32), values);
}

TEST(EncodingsTest, PackedBytesAreLittleEndian) {
  v1::Vector vector;
  EncodeVector(std::vector<float>{1.0f, -2.0f}, v1::PACKED_FLOAT32, &vector);
  EXPECT_EQ(vector.packed(), std::string("\x00\x00\x80\x3F\x00\x00\x00\xC0", 8));
  EncodeVector(std::vector<float>{1.0f, -2.0f}, v1::FLOAT16, &vector);
  EXPECT_EQ(vector.packed(), std::string("\x00\x3C\x00\xC0", 4));
}

// Reference bits from IEEE 754-2008 binary16.
TEST(EncodingsTest, HalfPrecisionRoundsToNearestEven) {
  const struct {
    float value;
    uint16_t bits;
  } cases[] = {{0.0f, 0x0000},
               {-0.0f, 0x8000},
               {1.0f, 0x3C00},
               {65504.0f, 0x7BFF},
               {65520.0f, 0x7C00},
               {65519.0f, 0x7BFF},
               {0.1f, 0x2E66},
               {0x1p-24f, 0x0001},
               {0x1p-25f, 0x0000},
               {0x1.8p-24f, 0x0002},
               {0x1p-14f, 0x0400},
               {1.0f + 0x1p-11f, 0x3C00},
               {1.0f + 0x3p-11f, 0x3C02},
               {-1.0f / 3, 0xB555}};
  for (const auto& [value, bits] : cases) {
    v1::Vector vector;
    EncodeVector(std::vector<float>{value}, v1::FLOAT16, &vector);
    const auto* bytes = reinterpret_cast<const unsigned char*>(vector.packed().data());
    EXPECT_EQ(bytes[0] | bytes[1] << 8, bits) << value;
  }
}

TEST(EncodingsTest, EveryFiniteHalfComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7C00) == 0x7C00) continue;
    v1::Vector vector;
    vector.set_encoding(v1::FLOAT16);
    vector.set_packed(std::string{static_cast<char>(bits & 0xFF), static_cast<char>(bits >> 8)});
    v1::Vector again;
    EncodeVector(*DecodeVector("v", vector), v1::FLOAT16, &again);
    ASSERT_EQ(again.packed(), vector.packed()) << bits;
  }
}

TEST(EncodingsTest, Int8IsOffByAtMostHalfAScale) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(384);
  for (float& value : values) value = normal(random);
  v1::Vector vector;
  EncodeVector(values, v1::INT8, &vector);
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  EXPECT_FLOAT_EQ(vector.scale(), largest / 127);
  const std::vector<float> decoded = *DecodeVector("v", vector);
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(decoded[i], values[i], vector.scale() / 2 * 1.0001) << i;
  EXPECT_THAT(RoundTrip({0, 0}, v1::INT8), testing::ElementsAre(0, 0));
}

TEST(EncodingsTest, BinarySetsTheBitsOfWhatIsAboveZero) {
  v1::Vector vector;
  EncodeVector(std::vector<float>{1, -1, 0, 2, -1, -1, -1, -1, 3}, v1::BINARY, &vector);
  EXPECT_EQ(vector.packed(), std::string("\x09\x01", 2));
  EXPECT_EQ(FieldPath(DecodeVector("vector", vector).status()), "vector.encoding");
}

TEST(EncodingsTest, WhatIsNotFiniteIsRefusedWithItsPlace) {
  v1::Vector vector;
  vector.add_values(1);
  vector.add_values(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(FieldPath(DecodeVector("vector.vector", vector).status()), "vector.vector.values[1]");
}

}  // namespace
}  // namespace tandem
