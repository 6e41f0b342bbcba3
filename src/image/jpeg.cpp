// libjpeg reports fatal errors by a callback that must not return; the only way out is longjmp,
// back into guard(), which then throws. Nothing with a destructor may live between the two.
// Warnings are ignored, as Pillow and OpenCV do.
#include "image/jpeg.h"

#include <array>
#include <csetjmp>
#include <cstdio>
// After cstdio, because jpeglib.h needs FILE.
#include <jpeglib.h>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

struct JpegReader::State {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  std::jmp_buf leave{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  std::string name;

  // Runs a call of libjpeg, whose errors arrive by longjmp: `call` must own nothing.
  template <typename Call>
  void guard(const Call& call) {
    if (setjmp(leave) == 0) {  // NOLINT(cert-err52-cpp): libjpeg's only way out
      call(jpeg);
      return;
    }
    throw DataError(cat(name, ": cannot be decoded: ", message.data()));
  }
  ~State() { jpeg_destroy_decompress(&jpeg); }
};

JpegReader::JpegReader(std::string_view bytes, const std::string& name)
    : state_(std::make_unique<State>()) {
  state_->name = name;
  jpeg_decompress_struct& jpeg = state_->jpeg;
  jpeg.err = jpeg_std_error(&state_->errors);
  jpeg.client_data = state_.get();
  state_->errors.error_exit = [](j_common_ptr common) {
    auto* state = static_cast<State*>(common->client_data);
    common->err->format_message(common, state->message.data());
    std::longjmp(state->leave, 1);  // NOLINT(cert-err52-cpp)
  };
  state_->errors.emit_message = [](j_common_ptr, int) {};
  state_->guard([&](jpeg_decompress_struct& j) {
    jpeg_create_decompress(&j);
    jpeg_mem_src(&j, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&j, TRUE);
  });
}

JpegReader::~JpegReader() = default;

bool JpegReader::is_readable() const {
  return state_->jpeg.num_components == 1 || state_->jpeg.num_components == 3;
}
std::int64_t JpegReader::width() const { return state_->jpeg.image_width; }
std::int64_t JpegReader::height() const { return state_->jpeg.image_height; }

void JpegReader::start(int pixel_bytes) {
  state_->guard([pixel_bytes](jpeg_decompress_struct& jpeg) {
    jpeg.out_color_space = pixel_bytes == 4 ? JCS_EXT_RGBX : JCS_EXT_RGB;
    jpeg_start_decompress(&jpeg);
  });
}

void JpegReader::read_row(std::uint8_t* row) {
  state_->guard([row](jpeg_decompress_struct& jpeg) {
    JSAMPROW rows[] = {row};
    jpeg_read_scanlines(&jpeg, rows, 1);
  });
}

}  // namespace saferclip
