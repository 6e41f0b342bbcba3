// CLI11 breaks no lines itself. Its formatter is asked for each part of the help, and the parts are
// wrapped.
#include "cli/help_format.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <sstream>
#include <string_view>

#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// All lines with a line feed; those after the first are indented.
std::string indented(const std::vector<std::string>& lines, std::size_t indent) {
  return join(lines, "\n" + std::string(indent, ' ')) + "\n";
}

std::string paragraphs(const std::string& text, std::size_t columns) {
  std::string result, paragraph;
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) result += indented(wrapped_lines(paragraph, columns), 0);
    paragraph.clear();
  };
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == ' ') {
      end_paragraph();
      result += line + "\n";
    } else {
      paragraph += (paragraph.empty() ? "" : " ") + line;
    }
  }
  end_paragraph();
  return result;
}

class WrappingFormatter : public CLI::Formatter {
 public:
  explicit WrappingFormatter(std::size_t columns) : columns_(columns) {
    constexpr std::size_t kNames = 30;  // CLI11's own width of the left column
    column_width(std::min(kNames, columns / 3));
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return entry(make_option_name(option, is_positional) + make_option_opts(option),
                 make_option_desc(option));
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return entry(command->get_display_name(true), command->get_description());
  }
  std::string make_description(const CLI::App* app) const override {
    return wrapped(Formatter::make_description(app), 0);
  }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    return wrapped(Formatter::make_usage(app, std::move(name)), 4);
  }
  std::string make_footer(const CLI::App* app) const override {
    return paragraphs(app->get_footer(), columns_);
  }

 private:
  std::string wrapped(const std::string& text, std::size_t indent) const {
    if (text.empty()) return text;
    return indented(wrapped_lines(trimmed(text), columns_ - indent), indent);
  }

  // The name in the left column and the description in the right one, below a name that is longer
  // than its column.
  std::string entry(const std::string& name, const std::string& description) const {
    constexpr std::size_t kFirst = 2, kMore = 6;  // indents of the name
    const std::size_t left = get_column_width();
    const std::vector<std::string> names = wrapped_lines(name, columns_ - kMore);
    std::string text = std::string(kFirst, ' ') + indented(names, kMore);
    if (description.empty()) return text;
    const std::size_t used = kFirst + display_columns(name);
    if (used < left) {
      text.back() = ' ';
      text += std::string(left - used - 1, ' ');
    } else {
      text += std::string(left, ' ');
    }
    return text + indented(wrapped_lines(description, columns_ - left), left);
  }

  std::size_t columns_;
};

}  // namespace

std::size_t stdout_columns() {
  constexpr std::size_t kDefault = 100, kLeast = 40;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::max<std::size_t>(size.ws_col, kLeast);
  }
  const char* value = std::getenv("COLUMNS");
  const std::string_view text = value == nullptr ? "" : value;
  std::size_t columns = 0;
  std::from_chars(text.data(), text.data() + text.size(), columns);
  return columns == 0 ? kDefault : std::max(columns, kLeast);
}

std::vector<std::string> wrapped_lines(const std::string& text, std::size_t columns) {
  std::vector<std::string> lines;
  std::istringstream given(text);
  for (std::string line; std::getline(given, line);) {
    std::istringstream words(line);
    std::string filled;
    for (std::string word; words >> word;) {
      if (!filled.empty() && display_columns(filled) + 1 + display_columns(word) > columns) {
        lines.push_back(std::move(filled));
        filled.clear();
      }
      filled += (filled.empty() ? "" : " ") + word;
    }
    lines.push_back(std::move(filled));
  }
  return lines;
}

std::shared_ptr<CLI::FormatterBase> help_formatter() {
  return std::make_shared<WrappingFormatter>(stdout_columns());
}

}  // namespace saferclip
