#include "saferclip/io/stored_picture.h"

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

std::string read_stored(const StoredPicture& picture, std::uint64_t max_bytes) {
  if (picture.member.empty()) return read_file(picture.file, max_bytes);
  if (picture.size > max_bytes) {
    throw DataError(cat(picture.name(), ": is larger than ", human_bytes(max_bytes),
                        ", the limit for this kind of file"));
  }
  return read_file_part(picture.file, picture.offset, picture.size);
}

}  // namespace saferclip
