// SHA-256 by OpenSSL, which uses the CPU's SHA instructions: caches and checkpoints hash many
// gigabytes. Files are read in blocks and not through a memory map, because a disk error or a
// truncation under a map raises SIGBUS instead of an error.
#include "saferclip/core/hash.h"

#include <openssl/evp.h>

#include <array>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"

namespace saferclip {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (state_->context == nullptr ||
      EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) != 1) {
    throw Error("SHA-256 is not available in this OpenSSL", 1);
  }
}

Sha256::~Sha256() = default;

Sha256& Sha256::update(const void* data, std::size_t size) {
  EVP_DigestUpdate(state_->context, data, size);
  return *this;
}

Sha256& Sha256::update(std::string_view text) { return update(text.data(), text.size()); }

Sha256& Sha256::add(std::string_view text) {
  add(static_cast<std::int64_t>(text.size()));
  return update(text);
}

Sha256& Sha256::add(std::int64_t value) {
  std::array<unsigned char, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
  return update(bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &size);
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4U];
    text += kDigits[digest[i] & 15U];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) { return Sha256().update(bytes).hex(); }

std::string sha256_file(const std::filesystem::path& path) {
  Sha256 hash;
  read_in_blocks(path, [&](const char* data, std::size_t size) { hash.update(data, size); });
  return hash.hex();
}

}  // namespace saferclip
