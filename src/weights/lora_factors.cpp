// Reads the factors in a file under the file's own module names: recognizes the dialect, and reads
// PEFT's. Tensor names decide, never the file's name, since adapters are often renamed.
// lora_targets.cpp maps the factors to the model's weights.
#include "weights/lora_factors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/trained.h"
#include "weights/lora_file.h"
#include "weights/tensor_files.h"
#include "weights/weight_files.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::string without(std::string text, const std::string& part) {
  if (const auto at = text.find(part); at != std::string::npos) text.erase(at, part.size());
  return text;
}

bool is_lora_name(const std::string& name) {
  return name.find(".lora_") != std::string::npos || name.find(".lora.") != std::string::npos ||
         name.find("_lora.") != std::string::npos || name.find(".hada_") != std::string::npos ||
         name.find(".lokr_") != std::string::npos;
}

// Files that PEFT and diffusers write into a folder, preferred first.
fs::path searched_file(const fs::path& folder, std::vector<std::string>& notes) {
  fs::path file;
  for (const char* name : {kAdapterFile, "adapter_model.bin", "pytorch_lora_weights.safetensors",
                           "pytorch_lora_weights.bin"}) {
    if (!fs::exists(folder / name)) continue;
    if (file.empty()) {
      file = folder / name;
    } else {
      notes.push_back(cat(folder.string(), ": reading ", file.filename().string(), ", not ", name,
                          " beside it; to read another file, give its path"));
    }
  }
  if (!file.empty()) return file;
  throw WeightsError(cat(folder.string(),
                         ": no adapter_model.safetensors or adapter_model.bin (PEFT) and no "
                         "pytorch_lora_weights.safetensors (diffusers)"));
}

// Reads PEFT's names; not the configuration.
LoraContent read_peft_factors(const TensorFile& file) {
  LoraContent content;
  struct Suffix {
    std::string_view text;
    Factor factor;
    bool is_embedding;
  };
  static constexpr Suffix kSuffixes[] = {{".lora_A.weight", Factor::kA, false},
                                         {".lora_B.weight", Factor::kB, false},
                                         {".lora_embedding_A", Factor::kA, true},
                                         {".lora_embedding_B", Factor::kB, true}};
  for (const auto& [full, info] : file.entries) {
    const std::string name = full.starts_with(kPeftPrefix) ? full.substr(kPeftPrefix.size()) : full;
    const auto* found = std::find_if(std::begin(kSuffixes), std::end(kSuffixes),
                                     [&](const auto& s) { return name.ends_with(s.text); });
    if (found != std::end(kSuffixes)) {
      const std::string module = name.substr(0, name.size() - found->text.size());
      keep_factor(content, module, found->factor, file.tensor(full));
      if (found->is_embedding) content.factors[module].is_embedding = true;
    } else if (name.find("lora_magnitude_vector") != std::string::npos) {
      content.problems.push_back(
          cat(full,
              ": a DoRA magnitude, which is not supported; merge the adapter with PEFT's "
              "merge_and_unload() and give the merged model"));
    } else if (name.find(".lora_") != std::string::npos) {
      content.problems.push_back(cat(full, ": not a factor of a plain LoRA"));
    } else if (!is_floating(info)) {
      content.problems.push_back(
          cat(full, ": has dtype ", info.dtype, ", expected F32, F16, BF16 or F64"));
    } else {
      content.whole.emplace(without(without(name, ".modules_to_save"), ".base_layer"),
                            file.tensor(full));
    }
  }
  return content;
}

}  // namespace

std::string lora_dialect(const TensorFile& file) {
  std::vector<std::string> names;
  for (const auto& [name, info] : file.entries) names.push_back(name);
  return lora_dialect(names);
}

std::string lora_dialect(const std::vector<std::string>& names) {
  bool is_lora = false;
  for (const std::string& name : names) {
    // LyCORIS uses kohya's module and file names.
    if (name.starts_with("lora_") || name.starts_with("lycoris_")) return "kohya's";
    is_lora = is_lora || is_lora_name(name);
  }
  if (!is_lora) return "";
  const bool is_diffusers = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("text_encoder") || name.starts_with("unet.") ||
           (name.starts_with("transformer.") && !name.starts_with("transformer.resblocks."));
  });
  return is_diffusers ? "diffusers'" : "PEFT's";
}

bool is_lora_file(const std::filesystem::path& file) {
  try {
    return !lora_dialect(open_tensor_file(file)).empty();
  } catch (const WeightsError&) {
    return false;  // reading the file reports why
  }
}

void keep_factor(LoraContent& content, const std::string& module, Factor factor,
                 const at::Tensor& value) {
  if (!at::isFloatingType(value.scalar_type())) {
    content.problems.push_back(cat(module, ": factor has dtype ", value.scalar_type(),
                                   ", expected a floating-point type"));
    return;
  }
  LoraFactors& factors = content.factors[without(module, ".base_layer")];
  factors.peft_name = module;
  const std::string inner = ".base_layer.out_proj";
  if (module.ends_with(inner)) {
    factors.times = 2;
    factors.peft_name = module.substr(0, module.size() - inner.size());  // one layer for PEFT
  }
  at::Tensor& place = factor == Factor::kA ? factors.a : factors.b;
  if (place.defined()) {
    content.problems.push_back(cat(module,
                                   ": appears twice: a fused attention and its out_proj were "
                                   "both targets, which PEFT warns against"));
  }
  place = value.to(at::kFloat);
}

LoraContent read_lora(const fs::path& path, const ClipGeometry& geometry) {
  const fs::path folder = folder_of(path);
  const bool has_config = fs::exists(folder / kPeftConfigFile);
  std::vector<std::string> notes;
  const fs::path file = fs::is_directory(path) ? searched_file(path, notes) : path;
  const TensorFile tensors = open_tensor_file(file);
  const std::string dialect = lora_dialect(tensors);
  if (!has_config && dialect == "PEFT's") {
    throw WeightsError(
        cat(file.string(),
            ": contains LoRA factors with PEFT's names, but no adapter_config.json is beside "
            "it to give alpha; give the folder that PEFT saved"));
  }
  if (!has_config && dialect.empty()) {
    throw WeightsError(
        cat(file.string(),
            ": contains no LoRA factors; expected PEFT's folder (adapter_config.json, "
            "adapter_model.safetensors) or a LoRA file from kohya or diffusers"));
  }
  const bool is_peft = dialect.empty() || dialect == "PEFT's";
  LoraContent content = is_peft ? read_peft_factors(tensors) : read_lora_file(tensors, geometry);
  if (is_peft) content.config = read_peft_config(folder);
  content.file = file;
  for (const std::string& note : tensors.notes) notes.push_back(cat(file.string(), ": ", note));
  content.notes.insert(content.notes.begin(), notes.begin(), notes.end());
  return content;
}

}  // namespace saferclip
