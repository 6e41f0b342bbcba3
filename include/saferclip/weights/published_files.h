// The weight files that OpenAI published, known by their SHA-256.
#pragma once

#include <string>

namespace saferclip {

// "OpenAI ViT-B/32" when a file with this SHA-256 is one that OpenAI published; else "".
std::string published_name(const std::string& sha256);
// Its id on the Hugging Face hub, where OpenAI published the same weights; "" for none.
std::string published_id(const std::string& sha256);
// The SHA-256 of the published file with this name ("ViT-B-32.pt"); "" for other names.
std::string published_hash(const std::string& file_name);

}  // namespace saferclip
