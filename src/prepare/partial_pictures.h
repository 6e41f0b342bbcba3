// The data file of decoded pictures while it is made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "prepare/picture_rows.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {

// Metadata key of the tensors' names, in order.
inline constexpr const char* kPictureColumns = "columns";

struct PicturePosition {
  std::size_t column = 0;
  std::size_t row = 0;
};

// The final safetensors file from the start: header, then rows at fixed offsets. All members throw
// Error when the file cannot be written.
class PartialPictures {
 public:
  PartialPictures(const PictureJob& job, const std::filesystem::path& path);
  ~PartialPictures();
  PartialPictures(const PartialPictures&) = delete;
  PartialPictures& operator=(const PartialPictures&) = delete;

  std::size_t row_bytes() const { return static_cast<std::size_t>(side_ * side_ * 3); }
  void write_row(const PicturePosition& at, const std::uint8_t* pixels);
  // Whether each picture exists, by row and column.
  void write_valid(const std::vector<std::uint8_t>& valid);
  void flush();

 private:
  void write(std::uint64_t offset, const void* data, std::size_t size);

  std::filesystem::path path_;
  std::int64_t rows_ = 0;
  std::int64_t side_ = 0;
  SafetensorsLayout layout_;
  int descriptor_ = -1;
};

}  // namespace saferclip
