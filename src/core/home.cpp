// Home folders by the rules of a POSIX shell: HOME first, then the password database. An unknown
// user leaves the text as it is, because a file may really be called ~x; nothing else of a shell's
// expansion is done, so a path with a dollar sign stays usable.
#include "saferclip/core/home.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace saferclip {
namespace {

// "" if there is no such user.
std::string home_of(const std::string& user) {
  if (user.empty()) {
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
  }
  const passwd* entry = user.empty() ? ::getpwuid(::getuid()) : ::getpwnam(user.c_str());
  return entry == nullptr || entry->pw_dir == nullptr ? "" : entry->pw_dir;
}

}  // namespace

std::string expand_home(const std::string& path) {
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view first = std::string_view(path).substr(0, end);
  std::string home;
  if (first == "$HOME" || first == "${HOME}") {
    home = home_of("");
  } else if (first.starts_with('~')) {
    home = home_of(std::string(first.substr(1)));
  }
  return home.empty() ? path : home + path.substr(end);
}

}  // namespace saferclip
