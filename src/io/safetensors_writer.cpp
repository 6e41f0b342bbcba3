// Writes safetensors files that are a function of their content. Larger elements come first, so
// that every tensor is aligned to its element size without padding (the format allows no gaps);
// spaces pad the header to a multiple of 8 for the same reason.
#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "io/safetensors_dtype.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {
namespace fs = std::filesystem;

SafetensorsLayout plan_safetensors(const std::vector<TensorShape>& tensors,
                                   const std::map<std::string, std::string>& metadata) {
  SafetensorsLayout layout;
  layout.order.resize(tensors.size());
  std::iota(layout.order.begin(), layout.order.end(), std::size_t{0});
  std::sort(layout.order.begin(), layout.order.end(), [&](std::size_t a, std::size_t b) {
    const auto size_a = c10::elementSize(tensors[a].dtype);
    const auto size_b = c10::elementSize(tensors[b].dtype);
    return size_a != size_b ? size_a > size_b : tensors[a].name < tensors[b].name;
  });
  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  if (!metadata.contains("format")) header["__metadata__"]["format"] = "pt";
  layout.offsets.resize(tensors.size());
  std::set<std::string> names;
  std::uint64_t position = 0;
  for (const std::size_t i : layout.order) {
    const TensorShape& tensor = tensors[i];
    if (!names.insert(tensor.name).second) {
      throw WeightsError(cat("two tensors have the name \"", tensor.name, "\""));
    }
    const SafetensorsDtype* dtype = find_safetensors_dtype(tensor.dtype);
    if (dtype == nullptr) {
      throw WeightsError(cat("tensor \"", tensor.name, "\": dtype ", c10::toString(tensor.dtype),
                             " cannot be stored in safetensors"));
    }
    std::uint64_t size = dtype->bits / 8;
    for (const std::int64_t extent : tensor.shape) size *= static_cast<std::uint64_t>(extent);
    header[tensor.name] = {{"dtype", dtype->name},
                           {"shape", tensor.shape},
                           {"data_offsets", {position, position + size}}};
    layout.offsets[i] = position;
    position += size;
  }
  std::string json = header.dump();
  json.append((8 - json.size() % 8) % 8, ' ');
  const std::uint64_t length = json.size();
  layout.header.assign(reinterpret_cast<const char*>(&length), sizeof(length));
  layout.header += json;
  for (std::uint64_t& offset : layout.offsets) offset += layout.header.size();
  layout.file_size = layout.header.size() + position;
  return layout;
}

void write_safetensors(const fs::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorShape> shapes;
  shapes.reserve(tensors.size());
  for (const NamedTensor& named : tensors) {
    shapes.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
  }
  const SafetensorsLayout layout = plan_safetensors(shapes, metadata);
  replace_file(path, [&](FileWriter& writer) {
    writer.write(layout.header.data(), layout.header.size());
    for (const std::size_t i : layout.order) {
      const at::Tensor bytes = tensors[i].tensor.detach().to(at::kCPU).contiguous();
      writer.write(bytes.const_data_ptr(), bytes.nbytes());
    }
  });
}

}  // namespace saferclip
