// Text that fits the terminal: help, and lists that a command prints for people.
#pragma once

#include <CLI/FormatterFwd.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace saferclip {

// The width of stdout's terminal; without one COLUMNS, else 100. At least 40.
std::size_t stdout_columns();

// The text's words in lines of at most `columns` columns; a longer word has a line of its own. Line
// feeds in the text stay.
std::vector<std::string> wrapped_lines(const std::string& text, std::size_t columns);

// Help in lines of at most stdout_columns(). Indented lines of a footer are examples, which stay as
// they are for copying; its other lines are filled anew.
std::shared_ptr<CLI::FormatterBase> help_formatter();

}  // namespace saferclip
