// Writes folders for other tools, complete or not at all: everything goes into a temporary sibling
// that is renamed at the end. The layout decides the files' content (room weights); this file adds
// what all exports share.
#include "saferclip/export/export.h"

#include <string_view>

#include "export/folder.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/files.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/weights/published_files.h"

namespace saferclip {
namespace fs = std::filesystem;

void write_folder(const ExportRequest& request, const std::function<void(const fs::path&)>& write,
                  const TextFiles& beside) {
  const fs::path target = fs::absolute(output_folder("--out", request.folder)).lexically_normal();
  make_folders(target.parent_path());
  TemporarySibling temporary(target, TemporarySibling::Kind::kFolder);
  write(temporary.path());
  for (const TextFiles* files : {&beside, &request.extra_files}) {
    for (const auto& [name, content] : *files) {
      write_file_atomically(temporary.path() / name, content);
    }
  }
  if (!request.model_card.empty()) {
    write_file_atomically(temporary.path() / "README.md", request.model_card);
  }
  temporary.move_to_target();
  sync_to_disk(target.parent_path());
}

std::string base_model_name(const WeightsSource& source) {
  if (std::string id = published_id(source.hash()); !id.empty()) return id;
  const fs::path path = fs::absolute(source.path).lexically_normal();
  // Folders in the hub's cache: models--openai--clip-vit-base-patch32/snapshots/REVISION.
  constexpr std::string_view kPrefix = "models--";
  for (const fs::path& part : path) {
    std::string name = part.string();
    if (!name.starts_with(kPrefix)) continue;
    name = name.substr(kPrefix.size());
    const std::size_t dash = name.find("--");
    return dash == std::string::npos ? name : cat(name.substr(0, dash), "/", name.substr(dash + 2));
  }
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

std::vector<std::string> export_weights(const ExportRequest& request, WeightsLayout layout,
                                        ClipModel& model, const WeightsSource& source,
                                        const Tokenizer& tokenizer) {
  const FolderContents contents = model_contents(
      layout, {model, source, tokenizer, request.dtype, request.tower, request.timm_model});
  const bool has_captions = request.tower != Towers::kVision;
  write_folder(
      request, [&](const fs::path& folder) { write_contents(folder, contents); },
      has_captions ? tokenizer.hugging_face_files() : TextFiles{});
  return contents.notes;
}

void export_peft(const ExportRequest& request, const TrainedAdapter& adapter,
                 const WeightsSource& source) {
  const FolderContents contents = adapter_contents({.trained = adapter.trained,
                                                    .model = adapter.model,
                                                    .adapter = adapter.adapter,
                                                    .source = source,
                                                    .base_name = base_model_name(source),
                                                    .dtype = request.dtype,
                                                    .tower = request.tower,
                                                    .strength = adapter.strength});
  write_folder(request, [&](const fs::path& folder) { write_contents(folder, contents); }, {});
}

}  // namespace saferclip
