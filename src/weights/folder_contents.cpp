// From a model to files: the layout makes the contents, this file writes them. It knows layouts
// only through their table. Making and writing are separate so that every refusal comes before the
// first byte.
#include "saferclip/weights/folder_contents.h"

#include "saferclip/core/atomic_files.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/io/tensor_file.h"
#include "weights/layouts.h"

namespace saferclip {
namespace fs = std::filesystem;

FolderContents model_contents(WeightsLayout layout, const ModelRequest& request) {
  return layout_of(layout).contents(request);
}

void write_contents(const fs::path& folder, const FolderContents& contents) {
  const fs::path file = folder / contents.tensor_file;
  if (contents.format == TensorFormat::kTorch) {
    write_torch_file(file, contents.tensors);
  } else {
    write_safetensors(file, contents.tensors, contents.metadata);
  }
  for (const auto& [name, content] : contents.texts) write_file_atomically(folder / name, content);
}

}  // namespace saferclip
