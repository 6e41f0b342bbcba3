// SentencePiece and LibTorch in one process: encodes a sentence, multiplies two tensors.
//   link_X_first X TOKENIZER_FOLDER      X: torch or sentencepiece, which must be loaded first
#include <ATen/ATen.h>
#include <link.h>

#include <iostream>
#include <string>

#include "saferclip/text/tokenizer.h"

namespace {

// "torch" or "sentencepiece": whose library the process found first.
std::string first_library() {
  std::string found;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        const std::string path = info->dlpi_name;
        const std::string name = path.substr(path.rfind('/') + 1);
        for (const char* word : {"torch", "sentencepiece"}) {
          if (name.starts_with(std::string("lib") + word)) {
            *static_cast<std::string*>(result) = word;
            return 1;
          }
        }
        return 0;
      },
      &found);
  return found;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " torch|sentencepiece TOKENIZER_FOLDER\n";
    return 2;
  }
  using namespace saferclip;
  const std::string first = first_library();
  if (first != argv[1]) {
    std::cout << "loaded first: " << first << ", expected " << argv[1] << "\n";
    return 1;
  }
  const auto tokenizer = load_sentencepiece_tokenizer(argv[2], 64, TextCleaning::kSiglip);
  const auto before = tokenizer->encode("a photo of a cat");
  const at::Tensor product = at::mm(at::full({3, 4}, 2.0), at::full({4, 5}, 3.0));
  const auto after = tokenizer->encode("a photo of a cat");
  const bool is_good = before == after && before.size() == 64 && before[0] > 2 &&
                       at::equal(product, at::full({3, 5}, 24.0));
  std::cout << (is_good ? "both work\n" : "wrong result\n");
  return is_good ? 0 : 1;
}
