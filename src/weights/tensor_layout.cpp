// The five ways in which a layout may store a canonical tensor (as it is, transposed, with a
// leading dimension of 1, as a third of a fused projection, in two parts); reading and writing of
// each are side by side. The check before reading is complete: all problems are reported at once,
// and nothing is loaded partially.
#include "weights/tensor_layout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <future>
#include <set>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace {

using Shape = std::vector<std::int64_t>;

std::string shape_text(const Shape& shape) {
  std::vector<std::string> extents;
  extents.reserve(shape.size());
  for (const std::int64_t extent : shape) extents.push_back(std::to_string(extent));
  return "[" + join(extents, ", ") + "]";
}

// FSDP and transformers write a scalar as [1], open_clip as [].
bool is_scalar(const Shape& shape) { return shape.empty() || shape == Shape{1}; }

// The file's tensors that make up a canonical one, with their shapes in the file.
std::vector<std::pair<std::string, Shape>> expected_tensors(const TensorForm& form,
                                                            const SourceTensor& from) {
  Shape shape = form.shape;
  if (from.is_transposed) std::reverse(shape.begin(), shape.end());
  if (from.has_leading_one) shape.insert(shape.begin(), 1);
  if (from.third >= 0) shape[0] *= 3;
  if (from.rest.empty()) return {{from.name, shape}};
  Shape first = shape;
  first[0] /= 3;
  shape[0] -= first[0];
  return {{from.name, first}, {from.rest, shape}};
}

// Problems by kind; each kind's list is shortened separately.
struct Misfits {
  std::vector<std::string> unfit, missing, misshapen, extra;

  void compare(const std::string& name, const Shape& expected, const TensorFiles& files) {
    if (!files.contains(name)) {
      missing.push_back(cat("missing: ", name, " ", shape_text(expected)));
      return;
    }
    const TensorInfo& info = files.info(name);
    if (!is_floating(info)) {
      unfit.push_back(cat("dtype: ", name, " is ", info.dtype, ", expected F32, F16, BF16 or F64"));
    }
    if (info.shape == expected || (is_scalar(info.shape) && is_scalar(expected))) return;
    misshapen.push_back(
        cat("shape: ", name, " is ", shape_text(info.shape), ", expected ", shape_text(expected)));
  }

  std::vector<std::string> lines() const {
    std::vector<std::string> problems;
    for (const auto* kind : {&unfit, &missing, &misshapen, &extra}) {
      for (const std::string& line : shortened(*kind, 12)) problems.push_back(line);
    }
    if (!unfit.empty()) {
      problems.emplace_back(
          "integer and quantized tensors cannot be used as weights: dequantize the model with the "
          "tool that quantized it and save it in fp32, fp16 or bf16");
    }
    return problems;
  }
};

void check_tensors(const WeightsSource& source, const TensorFiles& files, const Locate& locate,
                   const std::function<bool(const std::string&)>& is_ignored) {
  check_geometry(source);
  std::set<std::string> wanted;
  Misfits misfits;
  for (const TensorForm& form : tensor_forms(source.geometry)) {
    for (const auto& [name, expected] : expected_tensors(form, locate(form.name))) {
      if (wanted.insert(name).second) misfits.compare(name, expected, files);
    }
  }
  for (const std::string& name : files.names()) {
    if (!wanted.contains(name) && !is_ignored(name)) {
      misfits.extra.push_back(cat("extra: ", name, " ", shape_text(files.shape(name))));
    }
  }
  const std::vector<std::string> problems = misfits.lines();
  if (problems.empty()) return;
  throw WeightsError(join_problems(
      cat(files.where(), ": the tensors do not fit a CLIP with ", to_string(source.geometry), ":"),
      problems));
}

at::Tensor canonical_tensor(const TensorFiles& files, const SourceTensor& from) {
  const at::Tensor whole = files.tensor(from.name);
  if (!from.rest.empty()) return at::cat({whole, files.tensor(from.rest)});
  if (from.has_leading_one) return whole.squeeze(0);
  if (from.third >= 0) return whole.chunk(3, 0)[static_cast<std::size_t>(from.third)];
  return from.is_transposed ? whole.t() : whole;
}

}  // namespace

void check_geometry(const WeightsSource& source) {
  const ClipGeometry& g = source.geometry;
  struct Bound {
    const char* name;
    std::int64_t value;
    std::int64_t largest;
  };
  const Bound bounds[] = {{"text layers", g.text.layers, 512},
                          {"vision layers", g.vision.layers, 512},
                          {"text width", g.text.width, 1 << 16},
                          {"vision width", g.vision.width, 1 << 16},
                          {"text heads", g.text.heads, g.text.width},
                          {"vision heads", g.vision.heads, g.vision.width},
                          {"text MLP width", g.text.mlp_width, 1 << 20},
                          {"vision MLP width", g.vision.mlp_width, 1 << 20},
                          {"embedding width", g.embed_dim, 1 << 16},
                          {"image size", g.image_size, 1 << 14},
                          {"patch size", g.patch_size, g.image_size},
                          {"context length", g.context_length, 1 << 16},
                          {"vocabulary size", g.vocab_size, 1 << 24}};
  std::vector<std::string> problems;
  for (const Bound& bound : bounds) {
    if (bound.value < 1 || bound.value > bound.largest) {
      problems.push_back(cat(bound.name, " is ", bound.value, ", expected 1 to ", bound.largest));
    }
  }
  if (!problems.empty()) {
    throw WeightsError(
        join_problems(source.path.string() + ": sizes out of range for a CLIP model:", problems));
  }
}

void attach_tensors(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files,
                    const Locate& locate,
                    const std::function<bool(const std::string&)>& is_ignored) {
  check_tensors(source, *files, locate, is_ignored);
  source.later_hash = std::async(std::launch::async, [files] { return files->hash(); }).share();
  source.release_pages = [files] { files->release_pages(); };
  source.files = files->paths();
  source.notes.insert(source.notes.end(), files->notes().begin(), files->notes().end());
  source.tensor = [files, locate](const std::string& name) {
    return canonical_tensor(*files, locate(name));
  };
}

std::vector<NamedTensor> laid_out_tensors(ClipModel& model, at::ScalarType dtype,
                                          const Locate& locate) {
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, const at::Tensor& value) {
    tensors.push_back({name, value.to(dtype).contiguous()});
  };
  for (const TensorSlot& slot : tensor_slots(model)) {
    const SourceTensor to = locate(slot.name);
    if (to.third > 0) continue;
    // The storage of q, k and v is already the fused projection.
    const at::Tensor value = to.third == 0 ? *slot.storage : slot_view(slot);
    if (!to.rest.empty()) {
      const std::int64_t rows = value.size(0) / 3;
      add(to.name, value.narrow(0, 0, rows));
      add(to.rest, value.narrow(0, rows, 2 * rows));
    } else if (to.has_leading_one) {
      add(to.name, value.unsqueeze(0));
    } else {
      add(to.name, to.is_transposed ? value.t() : value);
    }
  }
  return tensors;
}

}  // namespace saferclip
