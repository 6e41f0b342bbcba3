// An .npy file holds exactly one array. Two files beside each other would surprise who names one,
// so a request of both kinds is refused. CSV numbers are the shortest that read back to the same
// float.
#include "saferclip/run/embedding_files.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/csv.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Version 1.0 of the format: magic, length of the dictionary, the dictionary, padded with blanks to
// a multiple of 64 bytes and ended by a line break.
std::string npy_header(const at::Tensor& rows) {
  std::string dictionary = cat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows.size(0),
                               ", ", rows.size(1), "), }");
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  const std::size_t used = kPrefix + dictionary.size() + 1;
  dictionary.append((kAlignment - used % kAlignment) % kAlignment, ' ').append("\n");
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dictionary.size() % 256);
  header += static_cast<char>(dictionary.size() / 256);
  return header + dictionary;
}

void write_npy(const fs::path& file, const at::Tensor& rows) {
  const at::Tensor flat = rows.contiguous();
  replace_file(file, [&](FileWriter& out) {
    const std::string header = npy_header(flat);
    out.write(header.data(), header.size());
    out.write(flat.const_data_ptr(), flat.nbytes());
  });
}

void append_number(std::string& line, float value) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  line.append(1, ',').append(digits.data(), end);
}

void write_csv(const fs::path& file, const EmbedRequest& request,
               const std::vector<NamedTensor>& rows) {
  replace_file(file, [&](FileWriter& out) {
    std::string line = "kind,item";
    for (std::int64_t i = 0; i < rows.front().tensor.size(1); ++i) line += cat(",d", i);
    line += '\n';
    out.write(line.data(), line.size());
    for (const NamedTensor& part : rows) {
      const at::Tensor flat = part.tensor.contiguous();
      const auto& items = part.name == "image" ? request.images : request.texts;
      for (std::int64_t i = 0; i < flat.size(0); ++i) {
        line = cat(part.name, ",", csv_field(items[static_cast<std::size_t>(i)]));
        const float* values = flat.const_data_ptr<float>() + i * flat.size(1);
        std::for_each(values, values + flat.size(1),
                      [&](float value) { append_number(line, value); });
        line += '\n';
        out.write(line.data(), line.size());
      }
    }
  });
}

}  // namespace

EmbeddingForm embedding_form(const fs::path& file, const EmbedRequest& request) {
  std::string ending = file.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char letter) {
    return static_cast<char>(letter < 128 ? std::tolower(letter) : letter);
  });
  if (ending == ".safetensors") return EmbeddingForm::kSafetensors;
  if (ending == ".csv") return EmbeddingForm::kCsv;
  if (ending != ".npy") {
    throw ConfigError(cat("--out ", file.string(), ": ",
                          ending.empty() ? "has no ending" : cat("ends in ", ending),
                          ", expected .safetensors, .npy or .csv"));
  }
  if (!request.images.empty() && !request.texts.empty()) {
    throw ConfigError(
        cat("--out ", file.string(),
            ": an .npy file holds one array, but images and texts are requested; embed them in two "
            "calls, or name a .safetensors or .csv file, which hold both"));
  }
  return EmbeddingForm::kNpy;
}

void write_embeddings(const fs::path& file, EmbeddingForm form, const EmbedRequest& request,
                      const std::vector<NamedTensor>& rows) {
  switch (form) {
    case EmbeddingForm::kSafetensors:
      return write_safetensors(file, rows);
    case EmbeddingForm::kNpy:
      return write_npy(file, rows.front().tensor);
    case EmbeddingForm::kCsv:
      return write_csv(file, request, rows);
  }
}

}  // namespace saferclip
