// Seconds to tokenise the lines of a file, for tokenizer.py. JSON on stdout.
//   tokens_bench VOCABULARY openai|hf CAPTIONS THREADS REPEATS IDS    (ids [N, 77], int32, to IDS)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "saferclip/prepare/embedding.h"
#include "saferclip/text/tokenizer.h"

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const bool is_hf = std::string(argv[2]) == "hf";
  std::vector<std::string> captions;
  std::ifstream in(argv[3]);
  for (std::string line; std::getline(in, line);) captions.push_back(line);
  at::set_num_threads(std::atoi(argv[4]));
  at::Tensor ids;
  std::cout << "{\"seconds\": [";
  for (int i = 0; i < std::atoi(argv[5]); ++i) {
    // A new tokenizer each time: it remembers words.
    const auto tokenizer = saferclip::load_clip_tokenizer(
        argv[1], 77,
        is_hf ? saferclip::TextCleaning::kHuggingFace : saferclip::TextCleaning::kOpenAi);
    const auto began = std::chrono::steady_clock::now();
    ids = saferclip::token_rows(*tokenizer, captions).ids;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
    std::cout << (i == 0 ? "" : ", ") << passed.count();
  }
  std::cout << "]}\n";
  std::ofstream(argv[6], std::ios::binary)
      .write(static_cast<const char*>(ids.const_data_ptr()),
             static_cast<std::streamsize>(ids.nbytes()));
}
