// From a model to files: the layout makes the contents, this file writes them. It knows layouts
// only through their table. Making and writing are separate so that every refusal comes before the
// first byte.
#include "saferclip/weights/folder_contents.h"

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/io/tensor_file.h"
#include "weights/layouts.h"

namespace saferclip {
namespace fs = std::filesystem;

std::vector<std::string> layout_words() {
  std::vector<std::string> words;
  for (const Layout* layout : layouts()) words.emplace_back(layout->word);
  return words;
}

std::string layout_word(WeightsLayout layout) { return layout_of(layout).word; }

WeightsLayout layout_named(const std::string& word) {
  for (const Layout* layout : layouts()) {
    if (word == layout->word) return layout->kind;
  }
  throw ConfigError(
      cat("\"", word, "\" is not a weights layout; expected one of: ", join(layout_words(), ", ")));
}

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
