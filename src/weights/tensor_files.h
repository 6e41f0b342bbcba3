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

// Whole numbers and quantised values are no weights.
bool is_floating(const TensorInfo& info);

// One logical set of tensors over one or several files (shards). When a whole model stands under a
// common prefix ("clip."), its names are those behind it and what is beside it is left out, with a
// note; a running average is taken when nothing else is there. Throws WeightsError when several
// models are.
class TensorFiles {
 public:
  explicit TensorFiles(const std::vector<std::filesystem::path>& paths);
  bool contains(const std::string& name) const { return owner_.contains(name); }
  bool has_prefix(const std::string& prefix) const;  // of any name
  const TensorInfo& info(const std::string& name) const;
  const std::vector<std::int64_t>& shape(const std::string& name) const { return info(name).shape; }
  at::Tensor tensor(const std::string& name) const;
  void release_pages() const;
  std::vector<std::string> names() const;  // sorted
  std::vector<std::filesystem::path> paths() const;
  std::string where() const;  // for messages
  // Of the first file, and what the readers noted.
  const std::map<std::string, std::string>& metadata() const { return files_.front().metadata; }
  const std::vector<std::string>& notes() const { return notes_; }
  // SHA-256 over all files; of a single one its own.
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
