// SentencePiece and LibTorch in one process: encodes a sentence, multiplies two tensors.
//   link_X_first TOKENIZER_FOLDER
#include <ATen/ATen.h>

#include <iostream>

#include "saferclip/text/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " TOKENIZER_FOLDER\n";
    return 2;
  }
  using namespace saferclip;
  const auto tokenizer = load_sentencepiece_tokenizer(argv[1], 64, TextCleaning::kSiglip);
  const auto before = tokenizer->encode("a photo of a cat");
  const at::Tensor product = at::mm(at::full({3, 4}, 2.0), at::full({4, 5}, 3.0));
  const auto after = tokenizer->encode("a photo of a cat");
  const bool is_good = before == after && before.size() == 64 && before[0] > 2 &&
                       at::equal(product, at::full({3, 5}, 24.0));
  std::cout << (is_good ? "both work\n" : "wrong result\n");
  return is_good ? 0 : 1;
}
