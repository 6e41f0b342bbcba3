#include "fuzz/fuzz.h"
#include "saferclip/core/error.h"
#include "saferclip/text/tokenizer.h"

// A model file that must not break loading or encoding, or captions and a tokenizer_config.json for
// a good one: the first byte picks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace saferclip;
  if (size == 0) return 0;
  const std::string_view rest = as_text(data + 1, size - 1);
  static const std::filesystem::path kFixtures = SAFERCLIP_FIXTURES "/text";
  static const auto kSiglip =
      load_sentencepiece_tokenizer(kFixtures / "siglip", 64, TextCleaning::kSiglip);
  static const auto kGemma =
      load_sentencepiece_tokenizer(kFixtures / "siglip2", 64, TextCleaning::kNone);
  try {
    switch (data[0] % 4) {
      case 0:
        kSiglip->encode(rest);
        kGemma->encode(rest);
        break;
      case 1:
        scratch_file("tokenizer_config.json", rest);
        std::filesystem::copy_file(kFixtures / "siglip" / "spiece.model",
                                   scratch_folder() / "spiece.model",
                                   std::filesystem::copy_options::skip_existing);
        load_sentencepiece_tokenizer(scratch_folder(), 64, TextCleaning::kSiglip)
            ->hugging_face_files();
        break;
      default:
        const auto tokenizer = load_sentencepiece_tokenizer(
            scratch_file("m.model", rest), 16,
            data[0] % 4 == 2 ? TextCleaning::kSiglip : TextCleaning::kNone);
        tokenizer->encode("Two dogs  \xF0\x9F\x98\x80 in\n\n the caf\xC3\xA9 \xEF\xBC\xA1.</s>");
        tokenizer->hugging_face_files();
    }
  } catch (const Error&) {
  }
  return 0;
}
