// SHA-256 of files and of structured keys (cache keys, checksums in manifests).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace saferclip {

// Streaming SHA-256; `hex()` ends the stream and returns 64 lower-case digits.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& update(const void* data, std::size_t size);
  Sha256& update(std::string_view text);
  // Length-prefixed (text) or 8 bytes little-endian (numbers): different parts give different
  // streams.
  Sha256& add(std::string_view text);
  Sha256& add(std::int64_t value);
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);

// Throws DataError if the file cannot be read.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace saferclip
