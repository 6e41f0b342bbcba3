// Recognizes the weight files that OpenAI published by their SHA-256.
#pragma once

#include <string>

namespace saferclip {

// "OpenAI ViT-B/32" when OpenAI published the file with this SHA-256; else "".
std::string published_name(const std::string& sha256);
// The Hugging Face hub id under which OpenAI published the same weights; "" if none.
std::string published_id(const std::string& sha256);
// The SHA-256 of the published file of this name ("ViT-B-32.pt"); "" for other names.
std::string published_hash(const std::string& file_name);

}  // namespace saferclip
