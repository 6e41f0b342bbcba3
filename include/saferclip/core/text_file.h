// Text files from any editor: what Notepad, Excel, Windows and old Macs write is read as UTF-8 with
// "\n" line ends, or refused with a message that names the encoding and the cure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// The text of a file: byte order marks removed, UTF-16 and UTF-32 with a mark converted, "\r\n" and
// "\r" replaced by "\n". Other bytes that are not UTF-8 stay, see require_utf8. Throws DataError as
// read_file does, and for damaged or unmarked UTF-16, compressed files, workbooks and the like.
std::string read_text_file(const std::filesystem::path& file);

// Throws DataError with the first line that is not UTF-8.
void require_utf8(std::string_view text, const std::filesystem::path& file);

// "is not UTF-8 (byte 0xE9, …); <cure>", or "" for valid UTF-8.
std::string utf8_problem(std::string_view text);

// The line, from 1, that contains the byte at `position`.
int line_of(std::string_view text, std::size_t position);

// All lines, including empty ones. Throws DataError as read_text_file and require_utf8 do.
std::vector<std::string> read_all_lines(const std::filesystem::path& file);

// The trimmed lines that are not empty. Throws DataError if there are none.
std::vector<std::string> read_lines(const std::filesystem::path& file);

}  // namespace saferclip
