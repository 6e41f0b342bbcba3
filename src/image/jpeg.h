// JPEG files row by row, by libjpeg itself: what OpenCV's decoder gives, without a picture in
// between. Exceptions do not pass through libjpeg's frames.
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

  // Grey or three colours; others (CMYK) are not for this reader.
  bool is_readable() const;
  std::int64_t width() const;
  std::int64_t height() const;

  // Once, before the first row: RGB of three bytes, or of four with one of no meaning.
  void start(int pixel_bytes);
  // The next row. Throws DataError where the data cannot be decoded.
  void read_row(std::uint8_t* row);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saferclip
