// Recognizes names of models on the Hugging Face hub where a path is expected. This program
// downloads nothing, so it tells the user how to.
#pragma once

#include <filesystem>
#include <string>

namespace saferclip {

// The hub name that a user seems to mean: "openai/clip-vit-base-patch32" for itself, for
// "hf-hub:openai/…", for "../openai/…" and for OpenAI's "ViT-B/32"; "" for what can only be a path.
// Call it when no such path exists.
std::string hub_name(const std::string& written);

// "; if NAME on the hub is meant: fetch it with `hf download …` or `git clone …`", to append to "no
// such file". The commands download to `path`, which `written` resolved to. "" when `written` is no
// hub name.
std::string hub_help(const std::string& written, const std::filesystem::path& path);

}  // namespace saferclip
