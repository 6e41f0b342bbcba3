// Several texts in one, for messages between processes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

std::string pack_texts(const std::vector<std::string>& texts);

// Throws Error if `packed` is not what pack_texts makes.
std::vector<std::string> unpack_texts(std::string_view packed);

}  // namespace saferclip
