// JPEG files row by row, by libjpeg: the pixels of OpenCV's decoder, without holding the picture.
// No exception passes through libjpeg's frames.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace saferclip {

class JpegReader {
 public:
  // Reads the header. `bytes` must outlive the reader; `name` is for messages. Throws DataError.
  JpegReader(std::string_view bytes, const std::string& name);
  ~JpegReader();
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // Whether this reader supports the file: gray or three colors, not CMYK.
  bool is_readable() const;
  std::int64_t width() const;
  std::int64_t height() const;

  // Call once, before the first row. `pixel_bytes`: 3 (RGB), or 4 (RGB and an unused byte).
  void start(int pixel_bytes);
  // Reads the next row. Throws DataError if the data cannot be decoded.
  void read_row(std::uint8_t* row);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saferclip
