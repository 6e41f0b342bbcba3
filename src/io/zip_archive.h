// The directory of a ZIP archive (PKWARE APPNOTE, with ZIP64), as torch.save writes it: members are
// looked at where they lie, nothing is ever extracted.
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
  bool is_stored = true;    // TorchScript deflates its code; such members are listed, not readable
};

class ZipArchive {
 public:
  // Whether the file starts as a ZIP archive does.
  static bool looks_like_zip(const MappedFile& file);

  // Reads and checks the whole directory. Checksums are not compared: torch.save can be told to
  // leave them out. Throws WeightsError: truncated, names twice or with "..", members that overlap
  // or leave the file, sizes that disagree, encryption, several disks.
  static ZipArchive open(std::shared_ptr<const MappedFile> file);

  const std::map<std::string, ZipMember>& members() const { return members_; }
  bool contains(const std::string& name) const { return members_.contains(name); }
  // The bytes of a stored member, inside the map. Throws WeightsError: no such member, compressed.
  std::string_view bytes(const std::string& name) const;
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, ZipMember> members_;
};

}  // namespace saferclip
