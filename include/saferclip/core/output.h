// Where a command is to write. Found out, or refused in one sentence, before any work is done.
#pragma once

#include <filesystem>
#include <string>

namespace saferclip {

// The path that a symbolic link leads to, also when nothing is there yet; any other path as it is.
// Throws Error (exit 1) for links in a circle.
std::filesystem::path behind_links(const std::filesystem::path& path);

// "a pipe", "a character device", "a folder": what stands at `path`, links followed, when it is
// neither a regular file nor nothing; else "". /dev/stdout and its like are streams whatever they
// lead to.
std::string not_a_file(const std::filesystem::path& path);

// The regular file, there already or not, that `option` ("--out") names, links followed. Throws
// ConfigError when it is something else, cannot be replaced, or its folder is missing or not
// writable. `instead_of_stream` is what to do in place of writing to a stream.
std::filesystem::path output_file(const std::string& option, const std::filesystem::path& given,
                                  const std::string& instead_of_stream = "name a file");

// Likewise a folder that is empty or not there yet; folders above it are made when it is written.
std::filesystem::path output_folder(const std::string& option, const std::filesystem::path& given);

}  // namespace saferclip
