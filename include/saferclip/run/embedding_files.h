// Writes embeddings in the forms that other tools read, chosen by the ending of the file's name.
#pragma once

#include <filesystem>
#include <vector>

#include "saferclip/core/named_tensor.h"
#include "saferclip/run/embed_rows.h"

namespace saferclip {

// safetensors: `image` and `text`. npy: one array. csv: one line per row, with what it embeds.
enum class EmbeddingForm { kSafetensors, kNpy, kCsv };

// Throws ConfigError for any other ending, and for .npy if images and texts are requested, since it
// holds one array.
EmbeddingForm embedding_form(const std::filesystem::path& file, const EmbedRequest& request);

// Writes the rows of embed_rows atomically. Throws Error if writing fails.
void write_embeddings(const std::filesystem::path& file, EmbeddingForm form,
                      const EmbedRequest& request, const std::vector<NamedTensor>& rows);

}  // namespace saferclip
