// Text files as people bring them: what Notepad, Excel, old Macs and Windows write is read as UTF-8
// with "\n" at line ends, or refused by naming the encoding and the cure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// The text of a file: byte order marks dropped, UTF-16 and UTF-32 with a mark converted, "\r\n" and
// "\r" read as "\n". Bytes that are no UTF-8 stay; require_utf8 looks for them. Throws DataError as
// read_file does, and for UTF-16 without a mark or damaged, compressed files, workbooks and the
// like.
std::string read_text_file(const std::filesystem::path& file);

// Throws DataError that names the first line which is not UTF-8.
void require_utf8(std::string_view text, const std::filesystem::path& file);

// "is not UTF-8: byte 0xE9, which is é in Latin-1 …; <cure>" of a text that is not; "" of one that
// is.
std::string utf8_problem(std::string_view text);

// From 1: the line on which a byte of the text stands.
int line_of(std::string_view text, std::size_t position);

// Every line, the empty ones too. Throws DataError as read_text_file and require_utf8 do.
std::vector<std::string> read_all_lines(const std::filesystem::path& file);

// Lines without white space at their ends; empty lines are left out. DataError when none is left.
std::vector<std::string> read_lines(const std::filesystem::path& file);

}  // namespace saferclip
