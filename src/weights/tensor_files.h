// The tensors of one model over one or several files.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "saferclip/io/tensor_file.h"

namespace saferclip {

// False for integers and quantized values, which are not weights.
bool is_floating(const TensorInfo& info);

// One logical set of tensors over one or several files (shards). When a whole model has a common
// prefix ("clip."), the prefix is removed and all other tensors are left out, with a note. A
// running average is used only when there is no other model. Throws WeightsError when there are
// several models.
class TensorFiles {
 public:
  explicit TensorFiles(const std::vector<std::filesystem::path>& paths);
  bool contains(const std::string& name) const { return owner_.contains(name); }
  bool has_prefix(const std::string& prefix) const;  // whether any name has it
  const TensorInfo& info(const std::string& name) const;
  const std::vector<std::int64_t>& shape(const std::string& name) const { return info(name).shape; }
  at::Tensor tensor(const std::string& name) const;
  void release_pages() const;
  std::vector<std::string> names() const;  // sorted
  std::vector<std::filesystem::path> paths() const;
  std::string where() const;  // for messages
  // The metadata of the first file, and the readers' notes.
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata; }
  const std::vector<std::string>& notes() const { return notes_; }
  // SHA-256 over all files; for a single file its own.
  std::string hash() const;

 private:
  struct Owner {
    std::size_t file;
    std::string name;  // there
  };
  void keep_model();

  std::vector<TensorFile> files_;
  std::map<std::string, Owner> owner_;
  std::vector<std::string> notes_;
};

}  // namespace saferclip
