#include "export/folder.h"

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// SHA-256 of the merges.txt that CLIP's published vocabulary gives.
constexpr const char* kClipMerges =
    "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a";

}  // namespace

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

void write_tokenizer(const fs::path& folder, const Tokenizer& tokenizer) {
  for (const auto& [name, content] : tokenizer.hugging_face_files()) {
    write_file_atomically(folder / name, content);
  }
}

bool has_clip_vocabulary(const Tokenizer& tokenizer) {
  for (const auto& [name, content] : tokenizer.hugging_face_files()) {
    if (name == "merges.txt") return sha256_hex(content) == kClipMerges;
  }
  return false;
}

void require_both_towers(const ExportRequest& request, const char* format) {
  if (request.tower == ExportedTower::kBoth) return;
  throw ConfigError(cat("--tower: ", format, " has no form for one tower alone; use --to hf"));
}

}  // namespace saferclip
