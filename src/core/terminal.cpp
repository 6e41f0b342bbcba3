// What stderr's terminal can do. NO_COLOR (no-color.org) and TERM=dumb turn redrawing off as well
// as colors: both say that control sequences are unwelcome. The width is queried each time, because
// windows are resized.
#include "core/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace saferclip {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

bool can_redraw_stderr() {
  const std::string_view kind = environment("TERM");
  return ::isatty(STDERR_FILENO) != 0 && !kind.empty() && kind != "dumb" &&
         environment("NO_COLOR").empty();
}

std::size_t stderr_columns() {
  constexpr std::size_t kDefault = 80;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const std::string_view text = environment("COLUMNS");
  std::size_t columns = 0;
  std::from_chars(text.data(), text.data() + text.size(), columns);
  return columns > 0 ? columns : kDefault;
}

}  // namespace saferclip
