#include <ATen/ATen.h>

#include <array>

#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/model/peft_adapter.h"
#include "saferclip/model/weights.h"

// The JSON files of model folders. The first byte picks the file, the rest is its content.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  namespace fs = std::filesystem;
  static constexpr std::array<const char*, 5> kNames{
      "config.json", "open_clip_config.json", "adapter_config.json", "preprocessor_config.json",
      "model.safetensors.index.json"};
  if (size == 0) return 0;
  for (const char* name : kNames) fs::remove(scratch_folder() / name);
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
