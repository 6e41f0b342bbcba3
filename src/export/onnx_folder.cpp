// A folder for ONNX runtimes: a graph for each tower, and beside them the files that transformers'
// processors and tokenizers read.
#include <utility>

#include "export/folder.h"
#include "export/onnx_towers.h"
#include "saferclip/core/error.h"
#include "saferclip/weights/folder_contents.h"

namespace saferclip {

void export_onnx(const ExportRequest& request, ClipModel& model, const WeightsSource& source,
                 const Tokenizer& tokenizer) {
  if (request.dtype != at::kFloat && request.dtype != at::kHalf) {
    throw ConfigError(
        "--dtype bf16: not with --to onnx, because ONNX runtimes cannot compute in it on a CPU; "
        "use fp16 or fp32");
  }
  TextFiles beside = transformers_settings(
      {model, source, tokenizer, request.dtype, request.tower, request.timm_model});
  if (request.tower != Towers::kVision) {
    for (auto& file : tokenizer.hugging_face_files()) beside.push_back(std::move(file));
  }
  const auto write = [&](const std::filesystem::path& folder) {
    if (request.tower != Towers::kVision) {
      write_onnx(text_graph(model, request.dtype), folder / kOnnxTextFile);
    }
    if (request.tower != Towers::kText) {
      write_onnx(vision_graph(model, request.dtype), folder / kOnnxVisionFile);
    }
  };
  write_folder(request, write, beside);
}

}  // namespace saferclip
