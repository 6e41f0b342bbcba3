// The safetensors format: u64 little-endian header length, JSON header, tensor bytes.
// https://github.com/huggingface/safetensors
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "saferclip/core/mapped_file.h"
#include "saferclip/core/named_tensor.h"

namespace saferclip {

// One entry of the header. `begin`/`end` are byte offsets from the start of the file.
struct TensorEntry {
  std::string dtype;  // as written in the file: "F32", "BF16", …
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

// A read-only, memory-mapped file. Every rule of the format is checked before any data is touched.
class SafetensorsFile {
 public:
  // Throws WeightsError: not this format, header too long or malformed, duplicate names, offsets
  // that overlap, leave gaps or the file, sizes that do not match shape and dtype.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, TensorEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return file_->path(); }
  bool contains(const std::string& name) const { return entries_.contains(name); }

  // A CPU tensor that looks into the map (kept alive by the tensor); copied when misaligned.
  // Throws WeightsError when the name is missing or the dtype has no LibTorch counterpart.
  at::Tensor tensor(const std::string& name) const;
  // All tensors in the order of their names.
  std::vector<NamedTensor> tensors() const;
  // Gives back the memory of what was read; tensors stay valid and read the file again.
  void release_pages() const { file_->release(file_->size()); }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

// Header bytes (length word included) and the order in which tensor data follow: by alignment
// descending, then by name, so that equal content gives equal bytes.
struct SafetensorsLayout {
  std::string header;
  std::vector<std::size_t> order;      // indices into the given list
  std::vector<std::uint64_t> offsets;  // of each given tensor, from the start of the file
  std::uint64_t file_size = 0;
};
struct TensorShape {
  std::string name;
  at::ScalarType dtype;
  std::vector<std::int64_t> shape;
};
SafetensorsLayout plan_safetensors(const std::vector<TensorShape>& tensors,
                                   const std::map<std::string, std::string>& metadata);

// Writes the file atomically; tensors may live on any device and need not be contiguous. The
// metadata gets {"format": "pt"} when it has no "format". Throws WeightsError for duplicate names
// or a dtype that the format does not have, Error when the disk refuses.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace saferclip
