// Every number in the directory is untrusted: positions are checked before each read, the entry
// count against the directory's size, and members against each other, so that no two tensors share
// bytes. The end record is searched backwards, because a comment may follow it.
#include "io/zip_archive.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDirectoryEntry = 0x02014b50;
constexpr std::uint32_t kDirectoryEnd = 0x06054b50;
constexpr std::uint32_t kZip64End = 0x06064b50;
constexpr std::uint32_t kZip64Locator = 0x07064b50;
constexpr std::uint64_t kDirectoryEndSize = 22;
constexpr std::uint64_t kEntrySize = 46;
constexpr std::uint64_t kLocalSize = 30;
constexpr std::uint32_t kSeeZip64 = 0xFFFFFFFF;

[[noreturn]] void refuse(const MappedFile& file, const std::string& what) {
  throw WeightsError(cat(file.path().string(), ": not a readable ZIP archive: ", what));
}

// Little-endian numbers at checked positions.
class Bytes {
 public:
  explicit Bytes(const MappedFile& file) : file_(file) {}
  void require(std::uint64_t position, std::uint64_t size, const char* what) const {
    if (position > file_.size() || size > file_.size() - position) {
      refuse(file_, cat(what, " at byte ", position, " exceeds the ", file_.size(),
                        " bytes of the file; it is truncated or damaged"));
    }
  }
  template <class Number>
  Number at(std::uint64_t position) const {
    require(position, sizeof(Number), "a number");
    Number value;
    std::memcpy(&value, file_.data() + position, sizeof(Number));
    return value;
  }
  std::string text(std::uint64_t position, std::uint64_t size) const {
    require(position, size, "a name");
    return {reinterpret_cast<const char*>(file_.data()) + position, size};
  }

 private:
  const MappedFile& file_;
};

struct Directory {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  std::uint64_t entries = 0;
};

// The end record: the last 22 bytes, or followed by a comment of at most 65,535 bytes.
std::uint64_t find_end_record(const MappedFile& file, const Bytes& bytes) {
  if (file.size() < kDirectoryEndSize) refuse(file, "it is shorter than a directory");
  const std::uint64_t last = file.size() - kDirectoryEndSize;
  const std::uint64_t first = last > 65535 ? last - 65535 : 0;
  for (std::uint64_t position = last + 1; position-- > first;) {
    if (bytes.at<std::uint32_t>(position) == kDirectoryEnd &&
        position + kDirectoryEndSize + bytes.at<std::uint16_t>(position + 20) == file.size()) {
      return position;
    }
  }
  refuse(file, "it has no directory at its end; it is truncated or has extra bytes");
}

Directory read_directory_location(const MappedFile& file, const Bytes& bytes) {
  const std::uint64_t end = find_end_record(file, bytes);
  Directory directory{bytes.at<std::uint32_t>(end + 16), bytes.at<std::uint32_t>(end + 12),
                      bytes.at<std::uint16_t>(end + 10)};
  std::uint64_t limit = end;
  const bool has_locator = end >= 20 && bytes.at<std::uint32_t>(end - 20) == kZip64Locator;
  if (has_locator) {
    const auto zip64_end = bytes.at<std::uint64_t>(end - 12);
    if (bytes.at<std::uint32_t>(zip64_end) != kZip64End)
      refuse(file, "its ZIP64 end record is missing");
    directory = {bytes.at<std::uint64_t>(zip64_end + 48), bytes.at<std::uint64_t>(zip64_end + 40),
                 bytes.at<std::uint64_t>(zip64_end + 32)};
    limit = zip64_end;
  } else if (bytes.at<std::uint16_t>(end + 4) != 0 || bytes.at<std::uint16_t>(end + 6) != 0) {
    refuse(file, "it is split over several disks");
  }
  if (directory.begin > limit || directory.size > limit - directory.begin) {
    refuse(file, "its directory exceeds the file");
  }
  if (directory.entries > directory.size / kEntrySize) {
    refuse(file, cat("its directory claims ", directory.entries, " members in ", directory.size,
                     " bytes"));
  }
  return directory;
}

struct RawEntry {
  std::string name;
  std::uint64_t packed = 0;
  std::uint64_t size = 0;
  std::uint64_t local = 0;  // position of its local header
  std::uint16_t method = 0;
  std::uint16_t flags = 0;
  std::uint64_t length = 0;  // of this directory entry
};

// Sizes and position that exceed 32 bits are in an extra field, in this order.
void apply_zip64(const MappedFile& file, const Bytes& bytes, std::uint64_t extra,
                 std::uint64_t extra_size, RawEntry& entry) {
  const std::uint64_t end = extra + extra_size;
  while (extra + 4 <= end) {
    const auto id = bytes.at<std::uint16_t>(extra);
    const std::uint64_t size = bytes.at<std::uint16_t>(extra + 2);
    std::uint64_t next = extra + 4;
    extra = next + size;
    if (extra > end) refuse(file, cat("member \"", entry.name, "\": a broken extra field"));
    if (id != 1) continue;
    for (std::uint64_t* value : {&entry.size, &entry.packed, &entry.local}) {
      if (*value != kSeeZip64) continue;
      if (next + 8 > extra) refuse(file, cat("member \"", entry.name, "\": a short ZIP64 field"));
      *value = bytes.at<std::uint64_t>(next);
      next += 8;
    }
  }
}

RawEntry read_entry(const MappedFile& file, const Bytes& bytes, std::uint64_t at,
                    std::uint64_t end) {
  if (at + kEntrySize > end || bytes.at<std::uint32_t>(at) != kDirectoryEntry) {
    refuse(file, cat("its directory is damaged at byte ", at));
  }
  const std::uint64_t name_size = bytes.at<std::uint16_t>(at + 28);
  const std::uint64_t extra_size = bytes.at<std::uint16_t>(at + 30);
  RawEntry entry;
  entry.length = kEntrySize + name_size + extra_size + bytes.at<std::uint16_t>(at + 32);
  if (entry.length > end - at) refuse(file, cat("its directory is damaged at byte ", at));
  entry.name = bytes.text(at + kEntrySize, name_size);
  entry.flags = bytes.at<std::uint16_t>(at + 8);
  entry.method = bytes.at<std::uint16_t>(at + 10);
  entry.packed = bytes.at<std::uint32_t>(at + 20);
  entry.size = bytes.at<std::uint32_t>(at + 24);
  entry.local = bytes.at<std::uint32_t>(at + 42);
  apply_zip64(file, bytes, at + kEntrySize + name_size, extra_size, entry);
  return entry;
}

void check_name(const MappedFile& file, const std::string& name) {
  const bool is_traversal = ("/" + name + "/").find("/../") != std::string::npos;
  if (name.empty() || name.front() == '/' || is_traversal || name.find('\\') != std::string::npos ||
      name.find('\0') != std::string::npos) {
    refuse(file, cat("member name \"", name, "\" points outside the archive"));
  }
}

ZipMember locate(const MappedFile& file, const Bytes& bytes, const RawEntry& entry,
                 std::uint64_t data_end) {
  const auto problem = [&](const char* what) {
    refuse(file, cat("member \"", entry.name, "\": ", what));
  };
  if ((entry.flags & 1) != 0) problem("is encrypted");
  if (entry.method == 0 && entry.packed != entry.size) problem("its two sizes disagree");
  bytes.require(entry.local, kLocalSize, "a member");
  if (bytes.at<std::uint32_t>(entry.local) != kLocalHeader) problem("has no local header");
  const std::uint64_t name_size = bytes.at<std::uint16_t>(entry.local + 26);
  if (bytes.text(entry.local + kLocalSize, name_size) != entry.name) {
    problem("its local header has another name");
  }
  const std::uint64_t begin =
      entry.local + kLocalSize + name_size + bytes.at<std::uint16_t>(entry.local + 28);
  if (begin > data_end || entry.packed > data_end - begin) problem("exceeds the file");
  return {begin, entry.packed, entry.method == 0};
}

void require_disjoint(const MappedFile& file, const std::map<std::string, ZipMember>& members) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
  for (const auto& [name, member] : members) {
    if (member.size > 0) spans.emplace_back(member.begin, member.begin + member.size);
  }
  std::sort(spans.begin(), spans.end());
  for (std::size_t i = 1; i < spans.size(); ++i) {
    if (spans[i].first < spans[i - 1].second) {
      refuse(file, cat("two members overlap at byte ", spans[i].first));
    }
  }
}

}  // namespace

bool ZipArchive::looks_like_zip(const MappedFile& file) {
  return file.size() >= 4 && std::memcmp(file.data(), "PK\3\4", 4) == 0;
}

ZipArchive ZipArchive::open(std::shared_ptr<const MappedFile> mapped) {
  const MappedFile& file = *mapped;
  const Bytes bytes(file);
  const Directory directory = read_directory_location(file, bytes);
  ZipArchive archive;
  std::uint64_t position = directory.begin;
  const std::uint64_t end = directory.begin + directory.size;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    const RawEntry entry = read_entry(file, bytes, position, end);
    position += entry.length;
    check_name(file, entry.name);
    const ZipMember member = locate(file, bytes, entry, directory.begin);
    if (!archive.members_.emplace(entry.name, member).second) {
      refuse(file, cat("member \"", entry.name, "\" appears twice"));
    }
  }
  require_disjoint(file, archive.members_);
  archive.file_ = std::move(mapped);
  return archive;
}

std::string_view ZipArchive::bytes(const std::string& name) const {
  const auto found = members_.find(name);
  if (found == members_.end()) refuse(*file_, cat("member \"", name, "\" is missing"));
  if (!found->second.is_stored) {
    refuse(*file_, cat("member \"", name, "\" is compressed; torch.save never does that"));
  }
  return {reinterpret_cast<const char*>(file_->data()) + found->second.begin, found->second.size};
}

}  // namespace saferclip
