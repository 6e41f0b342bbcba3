#include "export/folder.h"

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/export/export.h"

namespace saferclip {
namespace fs = std::filesystem;
void write_export(const ExportRequest& request, const std::function<void(const fs::path&)>& fill) {
  const fs::path target = fs::absolute(output_folder("--out", request.folder)).lexically_normal();
  make_folders(target.parent_path());
  TemporarySibling temporary(target, TemporarySibling::Kind::kFolder);
  fill(temporary.path());
  if (!request.model_card.empty()) {
    write_file_atomically(temporary.path() / "README.md", request.model_card);
  }
  temporary.move_to_target();
  sync_to_disk(target.parent_path());
}

std::string base_model_name(const WeightsSource& source) {
  if (std::string id = published_id(source.hash()); !id.empty()) return id;
  const fs::path path = fs::absolute(source.path).lexically_normal();
  // The hub's cache: models--openai--clip-vit-base-patch32/snapshots/REVISION.
  constexpr std::string_view kPrefix = "models--";
  for (const fs::path& part : path) {
    std::string name = part.string();
    if (!name.starts_with(kPrefix)) continue;
    name = name.substr(kPrefix.size());
    if (const std::size_t dash = name.find("--"); dash != std::string::npos) {
      name.replace(dash, 2, "/");
    }
    return name;
  }
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

void write_tokenizer(const fs::path& folder, const Tokenizer& tokenizer) {
  for (const auto& [name, content] : tokenizer.hugging_face_files()) {
    write_file_atomically(folder / name, content);
  }
}

void require_both_towers(const ExportRequest& request, const char* format) {
  if (request.tower == ExportedTower::kBoth) return;
  throw ConfigError(cat("--tower: ", format, " has no form for one tower alone; use --to hf"));
}

}  // namespace saferclip
