#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/text/tokenizer.h"

// Captions in all cleanings, vocab.json, tokenizer.json: the first byte picks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  if (size == 0) return 0;
  const std::string_view rest = as_text(data + 1, size - 1);
  try {
    if (data[0] == 255) {
      static const std::filesystem::path kOther = scratch_folder() / "json";
      std::filesystem::create_directories(kOther);
      scratch_file("json/tokenizer.json", rest);
      load_hugging_face_tokenizer(kOther, 8, TextCleaning::kHuggingFace)
          ->encode("A <b>! d\xC3\xB6g");
      return 0;
    }
    if (data[0] % 4 == 3) {
      scratch_file("merges.txt", "#version: 0.2\n");
      scratch_file("vocab.json", rest);
      load_hugging_face_tokenizer(scratch_folder(), 8, TextCleaning::kHuggingFace);
      return 0;
    }
    static const auto kTokenizer = [](TextCleaning cleaning) {
      return load_clip_tokenizer(SAFERCLIP_DATA "/bpe_simple_vocab_16e6.txt.gz", 77, cleaning);
    };
    static const auto kOpenAi = kTokenizer(TextCleaning::kOpenAi);
    static const auto kHuggingFace = kTokenizer(TextCleaning::kHuggingFace);
    static const auto kNone = kTokenizer(TextCleaning::kNone);
    const auto& tokenizer = data[0] % 4 == 0 ? kOpenAi : data[0] % 4 == 1 ? kHuggingFace : kNone;
    tokenizer->encode(rest);
  } catch (const Error&) {
  }
  return 0;
}
