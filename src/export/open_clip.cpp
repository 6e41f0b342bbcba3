#include <ATen/ATen.h>

#include "export/folder.h"
#include "saferclip/core/files.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

void write_companions(const fs::path& folder, const WeightsSource& source,
                      const Tokenizer& tokenizer) {
  write_file_atomically(
      folder / "open_clip_config.json",
      open_clip_config(source.geometry, source.preprocessing, !has_clip_vocabulary(tokenizer)));
  write_tokenizer(folder, tokenizer);
}

}  // namespace

void export_open_clip(const ExportRequest& request, ClipModel& model, const WeightsSource& source,
                      const Tokenizer& tokenizer) {
  require_both_towers(request, "open_clip");
  write_export(request, [&](const fs::path& folder) {
    write_safetensors(folder / "open_clip_model.safetensors", openai_tensors(model, request.dtype),
                      {{"activation", to_string(source.geometry.activation)}});
    write_companions(folder, source, tokenizer);
  });
}

void export_openai(const ExportRequest& request, ClipModel& model, const WeightsSource& source,
                   const Tokenizer& tokenizer) {
  require_both_towers(request, "OpenAI's layout");
  write_export(request, [&](const fs::path& folder) {
    write_torch_file(folder / "model.pt", openai_tensors(model, request.dtype));
    write_companions(folder, source, tokenizer);
  });
}

}  // namespace saferclip
