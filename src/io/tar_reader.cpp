// POSIX.1-2001's blocks of 512 bytes. Every length is checked against the file's before it is used.
// The two blocks of zeros at the end are required, because without them a tar that was cut between
// two members looks whole.
#include "saferclip/io/tar_reader.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kMaxExtension = std::uint64_t{1} << 20U;  // a long name, pax records

std::string_view text_field(std::string_view block, std::size_t at, std::size_t size) {
  const std::string_view field = block.substr(at, size);
  return field.substr(0, std::min(field.find('\0'), size));
}

// Octal digits, or GNU's binary form for what these cannot hold.
std::optional<std::uint64_t> number_field(std::string_view block, std::size_t at,
                                          std::size_t size) {
  const std::string_view field = block.substr(at, size);
  std::uint64_t number = 0;
  if ((static_cast<unsigned char>(field[0]) & 0x80U) != 0) {
    for (std::size_t i = 1; i < size; ++i) {
      if (number >> 55U != 0) return std::nullopt;
      number = number << 8U | static_cast<unsigned char>(field[i]);
    }
    return number;
  }
  for (const char c : field) {
    if (c == '\0' || c == ' ') continue;
    if (c < '0' || c > '7') return std::nullopt;
    number = number << 3U | static_cast<unsigned>(c - '0');
  }
  return number;
}

// The sum of the header's bytes, its own field counted as blanks.
bool has_right_sum(std::string_view block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const char letter = i >= 148 && i < 156 ? ' ' : block[i];
    sum += static_cast<unsigned char>(letter);
  }
  return number_field(block, 148, 8) == sum;
}

std::string kind_of(std::string_view start) {
  constexpr std::array<std::pair<std::string_view, const char*>, 4> kKinds{
      {{"\x1F\x8B", "gzip"},
       {"\x28\xB5\x2F\xFD", "zstd"},
       {"BZh", "bzip2"},
       {"\xFD\x37zXZ", "xz"}}};
  for (const auto& [magic, name] : kKinds) {
    if (start.starts_with(magic)) {
      return cat("is compressed with ", name,
                 "; images are read in place, so unpack the compression (not the tar) first");
    }
  }
  return "is not a tar: its first block is no header";
}

}  // namespace

struct TarReader::Header {
  bool is_end = false;
  char type = '0';
  std::string name;
  std::uint64_t size = 0;
};

// What extension headers say about the next member.
struct TarReader::Overrides {
  std::string name;
  std::optional<std::uint64_t> size;
};

TarReader::TarReader(fs::path file) : file_(std::move(file)) {
  if (!is_file(file_)) throw DataError(file_.string() + ": no such file");
  in_.rdbuf()->pubsetbuf(nullptr, 0);  // headers are far apart
  in_.open(file_, std::ios::binary);
  std::error_code error;
  file_size_ = fs::file_size(file_, error);
  if (!in_ || error) throw DataError(file_.string() + ": cannot be read");
}

void TarReader::fail(const std::string& problem) const {
  throw DataError(cat(file_.string(), ": ", problem));
}

std::string TarReader::bytes(std::uint64_t offset, std::uint64_t size) {
  if (offset > file_size_ || size > file_size_ - offset) {
    fail(cat("is cut short: the member at byte ", offset, " needs ", size, " bytes, but ",
             file_size_ - std::min(offset, file_size_), " are left; copy or write it again"));
  }
  std::string data(size, '\0');
  in_.seekg(static_cast<std::streamoff>(offset));
  in_.read(data.data(), static_cast<std::streamsize>(size));
  if (!in_) fail(cat("cannot be read at byte ", offset));
  return data;
}

TarReader::Header TarReader::header() {
  if (at_ + kBlock > file_size_) {
    if (at_ == 0) fail("is too short for a tar");
    fail(
        "is cut short: it ends without the blocks of zeros that end a tar; copy or write it again");
  }
  const std::string block = bytes(at_, kBlock);
  Header header;
  header.is_end = block.find_first_not_of('\0') == std::string::npos;
  if (header.is_end) return header;
  if (!has_right_sum(block)) {
    fail(at_ == 0 ? kind_of(block) : cat("is damaged: no header at byte ", at_));
  }
  const auto size = number_field(block, 124, 12);
  if (!size) fail(cat("is damaged: the header at byte ", at_, " has no size"));
  header.size = *size;
  header.type = block[156];
  header.name = text_field(block, 0, 100);
  const std::string_view prefix = text_field(block, 345, 155);
  const bool is_posix = std::string_view(block).substr(257, 6) == std::string_view("ustar\0", 6);
  if (is_posix && !prefix.empty()) header.name = cat(prefix, "/", header.name);
  return header;
}

// GNU's L is a name; pax's x holds records "LENGTH KEY=VALUE\n".
void TarReader::read_extension(const Header& header, Overrides& overrides) {
  if (header.size > kMaxExtension) fail(cat("is damaged: the name at byte ", at_, " is too long"));
  const std::string data = bytes(at_ + kBlock, header.size);
  if (header.type == 'L') overrides.name = text_field(data, 0, data.size());
  if (header.type != 'x') return;
  for (std::size_t i = 0; i < data.size();) {
    const std::size_t blank = std::min(data.find(' ', i), data.size());
    const std::string digits = data.substr(i, blank - i);
    const bool is_number = !digits.empty() && digits.size() < 8 &&
                           digits.find_first_not_of("0123456789") == std::string::npos;
    const std::size_t length = is_number ? std::stoul(digits) : 0;
    if (length < digits.size() + 2 || length > data.size() - i) {
      fail(cat("is damaged: the pax header at byte ", at_, " cannot be read"));
    }
    const std::string record = data.substr(blank + 1, i + length - blank - 2);
    if (record.starts_with("path=")) overrides.name = record.substr(5);
    if (record.starts_with("size=")) {
      const std::string value = record.substr(5);
      if (value.empty() || value.size() > 18 ||
          value.find_first_not_of("0123456789") != std::string::npos) {
        fail(cat("is damaged: the pax header at byte ", at_, " has no size"));
      }
      overrides.size = std::stoull(value);
    }
    i += length;
  }
}

bool TarReader::next(TarMember& member) {
  Overrides overrides;
  while (true) {
    const Header found = header();
    if (found.is_end) return false;
    const std::uint64_t size = overrides.size.value_or(found.size);
    const std::uint64_t content = at_ + kBlock;
    if (size > file_size_ - content) bytes(content, size);  // fails, and says why
    const bool is_extension = std::string_view("LKxg").find(found.type) != std::string_view::npos;
    if (is_extension) read_extension(found, overrides);
    at_ = content + (size + kBlock - 1) / kBlock * kBlock;
    if (is_extension) continue;
    member = {overrides.name.empty() ? found.name : overrides.name, content, size};
    overrides = {};
    const bool is_folder = found.type == '5' || member.name.ends_with('/');
    const bool is_regular = found.type == '0' || found.type == '\0' || found.type == '7';
    if (is_regular && !is_folder) return true;
    if (!is_folder) ++skipped_;
  }
}

std::string TarReader::content(const TarMember& member) {
  return bytes(member.offset, member.size);
}

}  // namespace saferclip
