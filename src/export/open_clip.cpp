#include <ATen/ATen.h>

#include "export/folder.h"
#include "saferclip/core/error.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

void write_companions(const fs::path& folder, const std::string& config,
                      const Tokenizer& tokenizer) {
  write_file_atomically(folder / "open_clip_config.json", config);
  write_tokenizer(folder, tokenizer);
}

}  // namespace

std::vector<std::string> export_open_clip(const ExportRequest& request, ClipModel& model,
                                          const WeightsSource& source, const Tokenizer& tokenizer) {
  require_both_towers(request, "open_clip");
  std::vector<std::string> notes;
  const std::string config =
      open_clip_config({source.geometry, source.preprocessing, tokenizer.spec().cleaning,
                        !tokenizer.is_clip(), request.timm_model},
                       notes);
  write_export(request, [&](const fs::path& folder) {
    write_safetensors(folder / "open_clip_model.safetensors",
                      open_clip_tensors(model, request.dtype),
                      {{"activation", activation_text(source.geometry)}});
    write_companions(folder, config, tokenizer);
  });
  return notes;
}

void export_openai(const ExportRequest& request, ClipModel& model, const WeightsSource& source,
                   const Tokenizer& tokenizer) {
  require_both_towers(request, "OpenAI's layout");
  const FamilyForm& form = form_of(source.geometry.family);
  if (!form.has_openai_names) {
    throw ConfigError(
        cat("--to openai: OpenAI's names do not cover ", form.label, "; use --to hf or open_clip"));
  }
  std::vector<std::string> notes;
  const std::string config = open_clip_config(
      {source.geometry, source.preprocessing, tokenizer.spec().cleaning, !tokenizer.is_clip(), {}},
      notes);
  write_export(request, [&](const fs::path& folder) {
    write_torch_file(folder / "model.pt", open_clip_tensors(model, request.dtype));
    write_companions(folder, config, tokenizer);
  });
}

}  // namespace saferclip
