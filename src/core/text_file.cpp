// An encoding is converted only where a byte order mark proves it; anything else that is not UTF-8
// is refused, because a wrong guess would train on garbled captions. Other files are recognized by
// their first bytes, for a helpful message.
#include "saferclip/core/text_file.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr const char* kCure = "; save it as UTF-8 (iconv -f ENCODING -t UTF-8 OLD > NEW)";

void append_utf8(std::uint32_t code, std::string& text) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6U), put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12U), put(0x80U | (code >> 6U & 0x3FU)), put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18U), put(0x80U | (code >> 12U & 0x3FU));
    put(0x80U | (code >> 6U & 0x3FU)), put(0x80U | (code & 0x3FU));
  }
}

bool is_high_surrogate(std::uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(std::uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

struct Encoding {
  const char* name;
  std::string_view mark;
  std::size_t width;  // bytes per code unit
  bool is_big_endian;
};
// UTF-32 LE first: its mark starts with that of UTF-16 LE.
constexpr std::array<Encoding, 4> kEncodings{{{"UTF-32 LE", {"\xFF\xFE\0\0", 4}, 4, false},
                                              {"UTF-32 BE", {"\0\0\xFE\xFF", 4}, 4, true},
                                              {"UTF-16 LE", {"\xFF\xFE", 2}, 2, false},
                                              {"UTF-16 BE", {"\xFE\xFF", 2}, 2, true}}};

std::uint32_t unit_at(std::string_view bytes, std::size_t position, const Encoding& encoding) {
  std::uint32_t unit = 0;
  for (std::size_t i = 0; i < encoding.width; ++i) {
    const std::size_t offset = encoding.is_big_endian ? i : encoding.width - 1 - i;
    unit = unit << 8U | static_cast<unsigned char>(bytes[position + offset]);
  }
  return unit;
}

std::string decoded(std::string_view bytes, const Encoding& encoding, const fs::path& file) {
  std::string text;
  text.reserve(bytes.size());
  const auto fail = [&](const char* what) {
    throw DataError(cat(file.string(), ":", line_of(text, text.size()), ": ", what, " of ",
                        encoding.name, "; the file is damaged, save it again as UTF-8"));
  };
  bytes.remove_prefix(encoding.mark.size());
  const std::size_t whole = bytes.size() / encoding.width * encoding.width;
  for (std::size_t at = 0; at < whole; at += encoding.width) {
    std::uint32_t code = unit_at(bytes, at, encoding);
    if (encoding.width == 2 && is_high_surrogate(code) && at + 2 < whole &&
        is_low_surrogate(unit_at(bytes, at + 2, encoding))) {
      at += 2;
      code = 0x10000 + ((code - 0xD800) << 10U) + (unit_at(bytes, at, encoding) - 0xDC00);
    }
    if (is_high_surrogate(code) || is_low_surrogate(code) || code > 0x10FFFF)
      fail("contains an invalid code unit");
    append_utf8(code, text);
  }
  if (whole != bytes.size()) fail("ends inside a character");
  return text;
}

bool looks_binary(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, 4096);
  return !is_valid_utf8(head) ||
         std::any_of(head.begin(), head.end(), [](char c) { return c >= 0 && c < 9; });
}

// Recognizes other kinds of files by their first bytes.
void refuse_other_files(std::string_view bytes, const fs::path& file) {
  if (!looks_binary(bytes)) return;
  static constexpr struct {
    std::string_view start;
    const char* what;
  } kKinds[] = {
      {{"PK\x03\x04", 4}, "a ZIP archive or an Excel workbook; save the table as CSV UTF-8"},
      {{"\xD0\xCF\x11\xE0", 4}, "an old Excel workbook; save the table as CSV UTF-8"},
      {{"\x1F\x8B", 2}, "compressed with gzip; unpack it first (gunzip)"},
      {{"\x28\xB5\x2F\xFD", 4}, "compressed with zstd; unpack it first (unzstd)"},
      {{"BZh91AY&SY", 10}, "compressed with bzip2; unpack it first (bunzip2)"},
      {{"\xFD\x37zXZ", 5}, "compressed with xz; unpack it first (unxz)"},
      {{"PAR1", 4},
       "a Parquet file; scripts/import_parquet converts it, or pandas: to_json(…, "
       "orient=\"records\", lines=True)"},
      {{"SQLite format 3", 15}, "an SQLite database; write the table as CSV or JSON lines"},
  };
  for (const auto& kind : kKinds) {
    if (bytes.starts_with(kind.start))
      throw DataError(cat(file.string(), ": is not a text file but ", kind.what));
  }
}

// In Latin text in UTF-16 every second byte is 0; UTF-8 text has no such bytes.
void refuse_unmarked_utf16(std::string_view bytes, const fs::path& file) {
  std::array<std::size_t, 2> zeros{};
  const std::size_t examined = std::min<std::size_t>(bytes.size(), 4096) / 2 * 2;
  for (std::size_t i = 0; i < examined; ++i) zeros[i % 2] += bytes[i] == '\0' ? 1U : 0U;
  for (const std::size_t side : {0U, 1U}) {
    if (zeros[side] * 5 > examined && zeros[1 - side] * 20 < examined) {
      throw DataError(cat(file.string(), ": looks like UTF-16 ", side == 1 ? "LE" : "BE",
                          " without a byte order mark", kCure));
    }
  }
}

// Unifies line ends and removes byte order marks at line starts, where concatenated files have
// them.
void normalise(std::string& text) {
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_head = used == 0 || text[used - 1] == '\n';
    if (is_head && text[i] == kByteOrderMark[0] && text.compare(i, 3, kByteOrderMark) == 0) {
      i += 2;
      continue;
    }
    if (text[i] == '\r') {
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
      text[used++] = '\n';
      continue;
    }
    text[used++] = text[i];
  }
  text.resize(used);
}

// The position of the first byte that is not part of valid UTF-8, or text.size().
std::size_t first_invalid_byte(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t line_end = std::min(text.find('\n', at), text.size() - 1) + 1;
    if (is_valid_utf8(text.substr(at, line_end - at))) {
      at = line_end;
      continue;
    }
    for (std::size_t size; at < line_end; at += size) {
      for (size = 1; size <= 4 && !is_valid_utf8(text.substr(at, size)); ++size) {
      }
      if (size > 4) return at;
    }
  }
  return text.size();
}

}  // namespace

int line_of(std::string_view text, std::size_t position) {
  return 1 +
         static_cast<int>(std::count(
             text.begin(),
             text.begin() + static_cast<std::ptrdiff_t>(std::min(position, text.size())), '\n'));
}

std::string read_text_file(const fs::path& file) {
  std::string text = read_file(file);
  refuse_other_files(text, file);
  const auto marked = std::find_if(kEncodings.begin(), kEncodings.end(),
                                   [&](const Encoding& e) { return text.starts_with(e.mark); });
  if (marked != kEncodings.end()) {
    text = decoded(text, *marked, file);
  } else {
    refuse_unmarked_utf16(text, file);
  }
  normalise(text);
  return text;
}

std::string utf8_problem(std::string_view text) {
  const std::size_t at = first_invalid_byte(text);
  if (at == text.size()) return "";
  const auto byte = static_cast<unsigned char>(text[at]);
  std::array<char, 8> hex{};
  std::snprintf(hex.data(), hex.size(), "0x%02X", byte);
  std::string letter;
  if (byte >= 0xA0) append_utf8(byte, letter);
  return cat("is not UTF-8 (byte ", hex.data(),
             letter.empty() ? "" : cat(", \"", letter, "\" in Latin-1 and Windows-1252"), ")",
             kCure);
}

void require_utf8(std::string_view text, const fs::path& file) {
  const std::size_t at = first_invalid_byte(text);
  if (at == text.size()) return;
  throw DataError(cat(file.string(), ":", line_of(text, at), ": ",
                      utf8_problem(text.substr(at, std::min<std::size_t>(4, text.size() - at)))));
}

std::vector<std::string> read_all_lines(const fs::path& file) {
  const std::string text = read_text_file(file);
  require_utf8(text, file);
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> read_lines(const fs::path& file) {
  std::vector<std::string> lines;
  for (const std::string& line : read_all_lines(file)) {
    if (std::string text = trimmed(line); !text.empty()) lines.push_back(std::move(text));
  }
  if (lines.empty()) throw DataError(cat(file.string(), ": contains no lines"));
  return lines;
}

}  // namespace saferclip
