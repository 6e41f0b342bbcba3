// Reading files, and the changes to a file system that other rooms need, with one kind of error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace saferclip {

// Whether `path` is a regular file (or a link to one). False, never an exception, for a name that
// no file can have: too long, or with a NUL in it.
bool is_file(const std::filesystem::path& path) noexcept;

inline constexpr std::uint64_t kMaxReadBytes = std::uint64_t{4} << 30U;

// Whole file as bytes. Throws DataError: missing, a folder, unreadable, or larger than `max_bytes`,
// which is known before memory is taken.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxReadBytes);

// Hands the bytes of a file over in order, block by block. Throws DataError as read_file does.
void read_in_blocks(const std::filesystem::path& path,
                    const std::function<void(const char* data, std::size_t size)>& take);

// What every failure to write is told with: Error (exit 1) "cannot <action> <path>: <the system's
// reason>; <cure>". `reason` is an errno.
[[noreturn]] void throw_storage_error(const std::string& action, const std::filesystem::path& path,
                                      int reason);

// What std::filesystem does, failing as throw_storage_error.
void make_folders(const std::filesystem::path& folder);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
void remove_tree(const std::filesystem::path& path);  // nothing when it is not there

}  // namespace saferclip
