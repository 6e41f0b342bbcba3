// Names of models on the Hugging Face hub where a path is expected. Nothing is downloaded by this
// program, so a user is told how.
#pragma once

#include <filesystem>
#include <string>

namespace saferclip {

// The name on the hub that a user seems to mean: "openai/clip-vit-base-patch32" for itself, for
// "hf-hub:openai/…", for "../openai/…" and for OpenAI's "ViT-B/32"; "" for what can only be a path.
// To be asked when no such path exists.
std::string hub_name(const std::string& written);

// "; if NAME on the hub is meant: fetch it with `hf download …` or `git clone …`", to stand behind
// "no such file": the commands put it where `path`, which `written` gave, leads. "" when no hub's
// name was written.
std::string hub_help(const std::string& written, const std::filesystem::path& path);

}  // namespace saferclip
