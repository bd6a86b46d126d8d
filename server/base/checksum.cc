// Checksums declared in files.h: CRC-32C by the CPU's instruction where it has one, SHA-256 by OpenSSL.
#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include <openssl/evp.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "absl/strings/escaping.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr uint32_t kCastagnoliReflected = 0x82F63B78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kCastagnoliReflected : 0);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

uint32_t ExtendByTable(uint32_t crc, const char* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(bytes[i])) & 0xFF];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(uint32_t crc, const char* bytes, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; bytes += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; ++bytes, --size) crc = _mm_crc32_u8(crc, static_cast<uint8_t>(*bytes));
  return crc;
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view bytes) { return ExtendCrc32c(0, bytes); }

uint32_t ExtendCrc32c(uint32_t crc, std::string_view bytes) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~ExtendByInstruction(~crc, bytes.data(), bytes.size());
#endif
  return ~ExtendByTable(~crc, bytes.data(), bytes.size());
}

absl::StatusOr<std::string> FileSha256(const std::filesystem::path& path,
                                       const std::function<absl::Status(int64_t)>& proceed) {
  constexpr size_t kBlock = 1 << 20;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    return error == ENOENT ? absl::NotFoundError(Concat(path.string(), ": ", std::strerror(error)))
                           : absl::InternalError(Concat(path.string(), ": ", std::strerror(error)));
  }
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool good = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<char> block(kBlock);
  while (good && file) {
    file.read(block.data(), block.size());
    good = EVP_DigestUpdate(context.get(), block.data(), file.gcount()) == 1;
    if (proceed) RETURN_IF_ERROR(proceed(file.gcount()));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  good = good && !file.bad() && EVP_DigestFinal_ex(context.get(), digest, &size) == 1;
  if (!good) return absl::InternalError(Concat(path.string(), ": SHA-256 could not be computed"));
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace tandem
