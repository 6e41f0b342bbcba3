// Words of commands that a user may copy into a shell.
#pragma once

#include <string>

namespace saferclip {

// The text as one word of a POSIX shell, in single quotes where it needs them.
std::string shell_word(const std::string& text);

}  // namespace saferclip
