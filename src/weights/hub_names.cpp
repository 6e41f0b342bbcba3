// Recognizes what users write in place of a path: a hub id, a hub address, or one of clip.load's
// names. Nothing is looked up. A name counts as the hub's only by its form and a known publisher of
// CLIPs, so a mistyped path is not mistaken for one.
#include "saferclip/weights/hub_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// clip.load's names.
constexpr std::array<std::pair<std::string_view, const char*>, 4> kOpenAi{
    {{"ViT-B/32", "openai/clip-vit-base-patch32"},
     {"ViT-B/16", "openai/clip-vit-base-patch16"},
     {"ViT-L/14", "openai/clip-vit-large-patch14"},
     {"ViT-L/14@336px", "openai/clip-vit-large-patch14-336"}}};

// Publishers of CLIPs: a path that ends in one of these and a name is taken for a hub id.
constexpr std::array<std::string_view, 7> kPublishers{"openai", "laion",     "google", "facebook",
                                                      "apple",  "aimagelab", "timm"};

bool is_name(std::string_view part) {
  return !part.empty() && std::isalnum(static_cast<unsigned char>(part.front())) != 0 &&
         std::all_of(part.begin(), part.end(), [](unsigned char letter) {
           return std::isalnum(letter) != 0 || letter == '.' || letter == '-' || letter == '_';
         });
}

bool is_file_name(std::string_view name) {
  return std::any_of(name.begin(), name.end(), [](char letter) { return letter == '.'; }) &&
         (name.ends_with(".pt") || name.ends_with(".bin") || name.ends_with(".safetensors") ||
          name.ends_with(".pth") || name.ends_with(".ckpt"));
}

}  // namespace

std::string hub_name(const std::string& written) {
  for (const auto& [known, name] : kOpenAi) {
    if (written == known) return name;
  }
  std::string_view rest = written;
  for (const std::string_view prefix : {"hf-hub:", "hf://", "https://huggingface.co/"}) {
    if (rest.starts_with(prefix)) rest.remove_prefix(prefix.size());
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t slash = rest.rfind('/');
  if (slash == rest.npos) return "";
  const std::string_view name = rest.substr(slash + 1);
  const std::string_view before = rest.substr(0, slash);
  const std::size_t start = before.rfind('/');
  const std::string_view owner = start == before.npos ? before : before.substr(start + 1);
  const bool is_whole = start == before.npos;
  const bool is_published =
      std::find(kPublishers.begin(), kPublishers.end(), owner) != kPublishers.end();
  if (!is_name(owner) || !is_name(name) || is_file_name(name)) return "";
  return is_whole || is_published ? cat(owner, "/", name) : "";
}

std::string hub_help(const std::string& written, const std::filesystem::path& path) {
  const std::string name = hub_name(written);
  if (name.empty()) return "";
  // The text may be no valid path.
  const bool is_path = written.find(':') == std::string::npos;
  const std::filesystem::path folder = is_path ? path : std::filesystem::path(name);
  return cat("; models on the Hugging Face Hub are not downloaded automatically; if you mean ",
             name, ", download it with `hf download ", name, " --local-dir ", folder.string(),
             "` (pip install -U huggingface_hub) or `git clone https://huggingface.co/", name, " ",
             folder.string(), "` (with git-lfs)", is_path ? "" : ", then give that folder");
}

}  // namespace saferclip
