// Reading files, and the file system operations that other rooms need, with uniform errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace saferclip {

// Whether `path` is a regular file (or a link to one). False, never an exception, for an impossible
// name: too long, or with a NUL.
bool is_file(const std::filesystem::path& path) noexcept;

inline constexpr std::uint64_t kMaxReadBytes = std::uint64_t{4} << 30U;

// The whole file as bytes. Throws DataError if it is missing, a folder, unreadable, or larger than
// `max_bytes` (checked before memory is allocated).
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxReadBytes);

// `size` bytes of the file from `offset` on. Throws DataError as read_file does, and if the file
// ends before.
std::string read_file_part(const std::filesystem::path& path, std::uint64_t offset,
                           std::uint64_t size);

// Passes the file to `take` block by block, in order. Throws DataError as read_file does.
void read_in_blocks(const std::filesystem::path& path,
                    const std::function<void(const char* data, std::size_t size)>& take);

// The error of every failed write: Error (exit 1) "cannot <action> <path>: <the system's reason>;
// <cure>". `reason` is an errno.
[[noreturn]] void throw_storage_error(const std::string& action, const std::filesystem::path& path,
                                      int reason);

// The std::filesystem operations, with throw_storage_error on failure.
void make_folders(const std::filesystem::path& folder);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
void remove_tree(const std::filesystem::path& path);  // does nothing if it does not exist

}  // namespace saferclip
