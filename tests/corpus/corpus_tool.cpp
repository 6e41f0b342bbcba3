// Token ids and pixels of many inputs for the comparisons in tokens.py and pixels.py.
//   corpus_tool ids VOCABULARY openai|hf < records > ids      record: u32 size, bytes
//   corpus_tool ids SENTENCEPIECE|FOLDER siglip|none < records > ids
//   corpus_tool files SENTENCEPIECE|FOLDER siglip|none FOLDER   the files of an export
//   corpus_tool pixels < lines > pictures                     see `picture_of`
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/image/image.h"
#include "saferclip/text/tokenizer.h"

namespace {

void put(std::uint32_t value) { std::fwrite(&value, sizeof(value), 1, stdout); }

std::unique_ptr<saferclip::Tokenizer> open_tokenizer(const std::string& vocabulary,
                                                     const std::string& cleaning) {
  using saferclip::TextCleaning;
  if (cleaning == "siglip" || cleaning == "none") {
    return saferclip::load_tokenizer(
        vocabulary, 64, cleaning == "none" ? TextCleaning::kNone : TextCleaning::kSiglip);
  }
  return saferclip::load_clip_tokenizer(
      vocabulary, 77, cleaning == "hf" ? TextCleaning::kHuggingFace : TextCleaning::kOpenAi);
}

int write_files(const std::string& vocabulary, const std::string& cleaning,
                const std::filesystem::path& folder) {
  const auto tokenizer = open_tokenizer(vocabulary, cleaning);
  for (const auto& [name, content] : tokenizer->hugging_face_files())
    saferclip::write_file_atomically(folder / name, content);
  return 0;
}

int print_ids(const std::string& vocabulary, const std::string& cleaning) {
  const auto tokenizer = open_tokenizer(vocabulary, cleaning);
  std::string text;
  for (std::uint32_t size = 0; std::fread(&size, sizeof(size), 1, stdin) == 1;) {
    text.resize(size);
    if (std::fread(text.data(), 1, size, stdin) != size) return 1;
    const auto ids = tokenizer->encode(text);
    put(static_cast<std::uint32_t>(ids.size()));
    std::fwrite(ids.data(), sizeof(ids[0]), ids.size(), stdout);
  }
  return 0;
}

// decode PATH | resize W H bicubic|bilinear PATH | fit SIDE shortest|squash floor|even FILTER PATH
saferclip::Image picture_of(const std::string& line) {
  using namespace saferclip;
  std::istringstream in(line);
  std::string what, filter, mode, rounding, path;
  std::int64_t width = 0, height = 0;
  in >> what;
  const auto filter_of = [](const std::string& word) {
    return word == "bilinear" ? Interpolation::kBilinear : Interpolation::kBicubic;
  };
  if (what == "decode") {
    in >> path;
    return load_image(path);
  }
  if (what == "resize") {
    in >> width >> height >> filter >> path;
    return resize_image(load_image(path), width, height, filter_of(filter));
  }
  in >> width >> mode >> rounding >> filter >> path;
  Preprocessing preprocessing;
  preprocessing.image_size = width;
  preprocessing.resize_mode = mode == "squash" ? ResizeMode::kSquash : ResizeMode::kShortest;
  preprocessing.crop_rounding =
      rounding == "floor" ? CropRounding::kFloor : CropRounding::kHalfEven;
  preprocessing.interpolation = filter_of(filter);
  return preprocess_image(load_image(path), preprocessing);
}

// For each line u32 width, height and the bytes; 0, 0 when the picture was refused.
int print_pixels() {
  for (std::string line; std::getline(std::cin, line);) {
    saferclip::Image image;
    try {
      image = picture_of(line);
    } catch (const saferclip::DataError&) {
    }
    put(static_cast<std::uint32_t>(image.width));
    put(static_cast<std::uint32_t>(image.height));
    std::fwrite(image.pixels.data(), 1, image.pixels.size(), stdout);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "ids" && argc == 4) return print_ids(argv[2], argv[3]);
  if (what == "files" && argc == 5) return write_files(argv[2], argv[3], argv[4]);
  if (what == "pixels" && argc == 2) return print_pixels();
  std::cerr << "usage: corpus_tool ids VOCABULARY openai|hf|siglip|none | corpus_tool files "
               "VOCABULARY siglip|none FOLDER | corpus_tool pixels\n";
  return 2;
}
