// Output paths of commands, checked before any work is done: a path that cannot be written is
// refused with one sentence.
#pragma once

#include <filesystem>
#include <string>

namespace saferclip {

// The target of a chain of symbolic links, whether or not it exists; any other path unchanged.
// Throws Error (exit 1) for circular links.
std::filesystem::path resolve_links(const std::filesystem::path& path);

// What exists at `path`, links followed: "a pipe", "a character device", "a folder"; "" for a
// regular file and if nothing exists. /dev/stdout and the like are always streams.
std::string special_file_kind(const std::filesystem::path& path);

// The regular file, existing or new, that `option` ("--out") names, links followed. Throws
// ConfigError if it is something else or read-only, or if its folder is missing or not writable;
// Error if the disk is full or failing. `instead_of_stream`: what the message advises for a stream.
std::filesystem::path output_file(const std::string& option, const std::filesystem::path& given,
                                  const std::string& instead_of_stream = "name a file");

// Likewise a folder that is empty or does not exist. Its parents are created when it is written.
std::filesystem::path output_folder(const std::string& option, const std::filesystem::path& given);

}  // namespace saferclip
