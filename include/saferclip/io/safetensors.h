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

// A memory-mapped file. All rules of the format are checked on opening, before any data is read.
class SafetensorsFile {
 public:
  // Throws WeightsError for another format, a malformed or oversized header, duplicate names, data
  // that overlap, leave gaps or exceed the file, and sizes that do not match shape and dtype.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, TensorEntry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return file_->path(); }
  bool contains(const std::string& name) const { return entries_.contains(name); }

  // A CPU tensor that views the map and keeps it alive, or a copy if the data is misaligned. Throws
  // WeightsError if the name is missing or LibTorch lacks the dtype.
  at::Tensor tensor(const std::string& name) const;
  // All tensors, ordered by name.
  std::vector<NamedTensor> tensors() const;
  // Frees the memory of pages that were read; tensors stay valid and read the file again.
  void release_pages() const { file_->release(file_->size()); }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

// The header bytes (length word included) and the order of the tensor data: element size
// descending, then name, so that equal content gives equal bytes.
struct SafetensorsLayout {
  std::string header;
  std::vector<std::size_t> order;      // indices of the given tensors
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

// Writes the file atomically. Tensors may be on any device and need not be contiguous. Adds
// {"format": "pt"} to the metadata unless it has a "format". Throws WeightsError for duplicate
// names or a dtype that the format lacks, Error if writing fails.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace saferclip
