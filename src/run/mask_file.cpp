#include "saferclip/run/mask_file.h"

#include <ATen/ATen.h>

#include <map>
#include <vector>

#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/model/trained.h"

namespace saferclip {

at::Tensor packed_bits(const at::Tensor& flags) {
  const at::Tensor flat = flags.reshape({-1}).to(at::kByte);
  const std::int64_t padding = (8 - flat.numel() % 8) % 8;
  const at::Tensor bits = at::constant_pad_nd(flat, {0, padding}).view({-1, 8});
  const at::Tensor places = at::tensor({128, 64, 32, 16, 8, 4, 2, 1}, flat.options());
  return (bits * places).sum(1).to(at::kByte);
}

std::string mask_file_content(const std::vector<NamedTensor>& trained,
                              const AdapterOptions& adapter, Towers towers) {
  std::vector<NamedTensor> bits;
  std::map<std::string, std::string> metadata{{"format", "saferclip masks"},
                                              {"off_value", cat(adapter.off_value)}};
  for (const NamedTensor& named : trained) {
    if (!named.name.starts_with(kMaskPrefix)) continue;
    const std::string weight = named.name.substr(kMaskPrefix.size());
    if (!is_of_towers(weight, towers)) continue;
    std::vector<std::string> shape;
    for (const std::int64_t size : named.tensor.sizes()) shape.push_back(cat(size));
    metadata.emplace(weight, join(shape, " "));
    bits.push_back({weight, packed_bits(named.tensor.gt(adapter.threshold)).contiguous()});
  }
  std::vector<TensorShape> shapes;
  for (const NamedTensor& named : bits) {
    shapes.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
  }
  const SafetensorsLayout layout = plan_safetensors(shapes, metadata);
  std::string content = layout.header;
  for (const std::size_t i : layout.order) {
    const at::Tensor& tensor = bits[i].tensor;
    content.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  return content;
}

}  // namespace saferclip
