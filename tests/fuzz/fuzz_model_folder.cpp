#include <ATen/ATen.h>

#include <array>

#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/weights/peft.h"
#include "saferclip/weights/weights.h"

// The JSON files of model folders. The first byte picks the file, the rest is its content.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  namespace fs = std::filesystem;
  static constexpr std::array<const char*, 5> kNames{
      "config.json", "open_clip_config.json", "adapter_config.json", "preprocessor_config.json",
      "model.safetensors.index.json"};
  if (size == 0) return 0;
  for (const char* name : kNames) fs::remove(scratch_folder() / name);
  static const bool kHasWeights = [] {
    for (const char* name : {"model.safetensors", "open_clip_model.safetensors"}) {
      scratch_file(name, std::string_view("\2\0\0\0\0\0\0\0{}", 10));
    }
    return true;
  }();
  // An index is read only where the single file is absent.
  const bool is_index = data[0] % kNames.size() == 4;
  if (is_index) fs::remove(scratch_folder() / "model.safetensors");
  if (kHasWeights && !is_index) {
    scratch_file("model.safetensors", std::string_view("\2\0\0\0\0\0\0\0{}", 10));
  }
  const char* name = kNames[data[0] % kNames.size()];
  if (name != kNames[0] && name != kNames[1]) {
    scratch_file("config.json", R"({"hidden_act":"gelu","text_config":{"hidden_act":"gelu"},)"
                                R"("vision_config":{"hidden_act":"gelu"}})");
  }
  scratch_file(name, as_text(data + 1, size - 1));
  ModelOptions options;
  options.weights = scratch_folder().string();
  try {
    open_weights(options, 0);
  } catch (const Error&) {
  }
  return 0;
}
