// CLIP's own tokenizer, in the two forms in which clients implement it: open_clip's (case-blind
// pattern, its own special tokens) and Hugging Face's CLIPTokenizer (raw caption split at special
// tokens first). Most captions are plain ASCII, which both treat alike; these skip code points and
// cleaning.
#include <zlib.h>

#include <algorithm>
#include <memory>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/text/tokenizer.h"
#include "text/byte_pair_encoder.h"
#include "text/clean.h"
#include "text/lexer.h"
#include "text/merge_file.h"
#include "text/tokenizer_files.h"
#include "text/unicode.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kClipVocabularySha256 =
    "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a";
constexpr std::size_t kClipMerges = 49152 - 256 - 2;
// Longer words are truncated: merging is quadratic, and a context has far fewer tokens.
constexpr std::size_t kMaxWordBytes = 4096;

// ASCII text without entities and special tokens, of which cleaning changes only capitals and
// spaces.
bool is_plain(std::string_view caption) {
  return std::all_of(caption.begin(), caption.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '&' && c != '<'; });
}

std::string lower_plain(std::string_view caption) {
  std::string text(caption);
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  return text;
}

class ClipTokenizer : public Tokenizer {
 public:
  ClipTokenizer(std::unique_ptr<BytePairEncoder> encoder, TextSpec spec,
                const std::string& vocabulary_hash)
      : encoder_(std::move(encoder)), spec_(spec) {
    fingerprint_ = cat("clip-bpe ", vocabulary_hash, " context ", spec.context_length, " clean ",
                       to_string(spec.cleaning));
    // The special tokens that a caption may contain, as the client of this cleaning writes them.
    const bool is_hf = spec.cleaning == TextCleaning::kHuggingFace;
    specials_ = {{is_hf ? U"<|startoftext|>" : U"<start_of_text>", spec.bos_id},
                 {is_hf ? U"<|endoftext|>" : U"<end_of_text>", spec.eos_id}};
  }

  std::vector<std::int32_t> encode(std::string_view caption, bool* is_cut) const override {
    std::vector<std::int32_t> ids{static_cast<std::int32_t>(spec_.bos_id)};
    if (is_plain(caption) && only_lowers_plain_text()) {
      encode_plain(lower_plain(caption), ids);
    } else if (spec_.cleaning == TextCleaning::kHuggingFace) {
      encode_with_specials(decode_utf8(caption), ids);
    } else {
      encode_words(clean_text(decode_utf8(caption), spec_.cleaning), ids, true);
    }
    ids.push_back(static_cast<std::int32_t>(spec_.eos_id));
    const auto limit = static_cast<std::size_t>(spec_.context_length);
    if (is_cut != nullptr) *is_cut = ids.size() > limit;
    if (ids.size() > limit) {
      ids.resize(limit);
      ids.back() = static_cast<std::int32_t>(spec_.eos_id);
    }
    return ids;
  }

  const TextSpec& spec() const override { return spec_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  bool is_clip() const override { return true; }
  std::vector<std::pair<std::string, std::string>> hugging_face_files() const override {
    VocabularyIds ids = encoder_->vocabulary();
    ids.emplace("<|startoftext|>", spec_.bos_id);
    ids.emplace("<|endoftext|>", spec_.eos_id);
    return clip_tokenizer_files({ids, encoder_->merges()}, spec_);
  }

 private:
  bool only_lowers_plain_text() const {
    return spec_.cleaning != TextCleaning::kWhitespace &&
           spec_.cleaning != TextCleaning::kCanonicalize;
  }

  // The special token at `position`, or null.
  const std::pair<std::u32string, std::int64_t>* special_at(const std::u32string& text,
                                                            std::size_t position) const {
    for (const auto& special : specials_) {
      if (text.compare(position, special.first.size(), special.first) == 0) return &special;
    }
    return nullptr;
  }

  // transformers splits the raw caption at special tokens before anything else.
  void encode_with_specials(const std::u32string& text, std::vector<std::int32_t>& ids) const {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
      const auto* special = text[i] == U'<' ? special_at(text, i) : nullptr;
      if (special == nullptr) {
        ++i;
        continue;
      }
      encode_words(clean_text(text.substr(begin, i - begin), spec_.cleaning), ids, false);
      ids.push_back(static_cast<std::int32_t>(special->second));
      i += special->first.size();
      begin = i;
    }
    encode_words(clean_text(text.substr(begin), spec_.cleaning), ids, false);
  }

  void encode_plain(std::string_view text, std::vector<std::int32_t>& ids) const {
    const auto limit = static_cast<std::size_t>(spec_.context_length);
    for (std::size_t i = 0; i < text.size() && ids.size() <= limit;) {
      if (text[i] == ' ') {
        ++i;
        continue;
      }
      const std::size_t end = match_word(text, i, false);
      encoder_->encode(text.substr(i, std::min(end - i, kMaxWordBytes)), ids);
      i = end;
    }
  }

  void encode_words(const std::u32string& text, std::vector<std::int32_t>& ids,
                    bool is_openai) const {
    const auto limit = static_cast<std::size_t>(spec_.context_length);
    for (std::size_t i = 0; i < text.size() && ids.size() <= limit;) {
      // U+0345 folds to a letter, so no alternative of open_clip's case-blind pattern matches it.
      if (is_white_space(text[i]) || (is_openai && text[i] == U'\u0345')) {
        ++i;
        continue;
      }
      const auto* special = is_openai && text[i] == U'<' ? special_at(text, i) : nullptr;
      if (special != nullptr) {
        ids.push_back(static_cast<std::int32_t>(special->second));
        i += special->first.size();
        continue;
      }
      const std::size_t end = match_word(std::u32string_view(text), i, is_openai);
      const std::string word = encode_utf8(std::u32string_view(text).substr(i, end - i));
      encoder_->encode(std::string_view(word).substr(0, kMaxWordBytes), ids);
      i = end;
    }
  }

  std::unique_ptr<BytePairEncoder> encoder_;
  TextSpec spec_;
  std::string fingerprint_;
  std::vector<std::pair<std::u32string, std::int64_t>> specials_;
};

std::string inflate_gzip(const std::string& bytes, const fs::path& file) {
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) throw Error("zlib cannot be initialized", 1);
  std::string text;
  std::vector<char> buffer(1 << 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = inflate(&stream, Z_NO_FLUSH);
    text.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END)
    throw DataError(cat(file.string(), ": is a truncated or damaged gzip file"));
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> load_clip_tokenizer(const fs::path& vocabulary,
                                               std::int64_t context_length, TextCleaning cleaning) {
  const std::string bytes = read_file(vocabulary);
  const std::string hash = sha256_hex(bytes);
  if (hash != kClipVocabularySha256) {
    throw DataError(cat(vocabulary.string(), ": SHA-256 is ", hash,
                        ", but that of CLIP's bpe_simple_vocab_16e6.txt.gz is ",
                        kClipVocabularySha256, "; fetch it again with scripts/fetch_vocabulary"));
  }
  MergeList merges = read_merge_lines(inflate_gzip(bytes, vocabulary), vocabulary, kClipMerges);
  std::unordered_map<std::string, std::int32_t> ids(kClipMerges + std::size_t{2} * 256 + 2);
  const auto add = [&](const std::string& symbol) {
    ids.emplace(symbol, static_cast<std::int32_t>(ids.size()));
  };
  for (const unsigned char byte : byte_order()) add(byte_symbols()[byte]);
  for (const unsigned char byte : byte_order()) add(byte_symbols()[byte] + std::string(kEndOfWord));
  for (const auto& [a, b] : merges) add(a + b);
  TextSpec spec;
  spec.context_length = context_length;
  spec.cleaning = cleaning;
  return std::make_unique<ClipTokenizer>(
      std::make_unique<BytePairEncoder>(std::move(ids), std::move(merges), vocabulary.string()),
      spec, hash);
}

}  // namespace saferclip
