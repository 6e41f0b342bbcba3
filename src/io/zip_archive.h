// The directory of a ZIP archive (PKWARE APPNOTE, with ZIP64) as torch.save writes it. Members are
// read in place; nothing is extracted.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "saferclip/core/mapped_file.h"

namespace saferclip {

struct ZipMember {
  std::uint64_t begin = 0;  // of the data, from the start of the file
  std::uint64_t size = 0;   // bytes
  bool is_stored = true;    // false: compressed (TorchScript's code); listed, not readable
};

class ZipArchive {
 public:
  // Whether the file starts like a ZIP archive.
  static bool looks_like_zip(const MappedFile& file);

  // Reads and validates the whole directory, but not checksums, which torch.save can omit. Throws
  // WeightsError for a truncated file, duplicate names, names with "..", members that overlap or
  // exceed the file, contradictory sizes, encryption, and multiple disks.
  static ZipArchive open(std::shared_ptr<const MappedFile> file);

  const std::map<std::string, ZipMember>& members() const { return members_; }
  bool contains(const std::string& name) const { return members_.contains(name); }
  // The bytes of a stored member, inside the map. Throws WeightsError if it is missing or
  // compressed.
  std::string_view bytes(const std::string& name) const;
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, ZipMember> members_;
};

}  // namespace saferclip
