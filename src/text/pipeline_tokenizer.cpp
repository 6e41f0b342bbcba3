// Encoding stops as soon as the context is full, so that the longest caption costs no more than a
// full one. Plain ASCII captions in CLIP's form skip normalization, and short pieces are cached
// across threads.
#include "text/pipeline_tokenizer.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "text/byte_pair_encoder.h"
#include "text/clean.h"
#include "text/lexer.h"
#include "text/unicode.h"
#include "text/word_cache.h"

namespace saferclip {
namespace {

// Longer pieces seldom recur.
constexpr std::size_t kMaxCachedBytes = 64;

bool cleans_first(TextCleaning cleaning) {
  return cleaning != TextCleaning::kHuggingFace && cleaning != TextCleaning::kNone;
}

class PipelineTokenizer : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline)
      : p_(std::move(pipeline)), added_(p_.added, p_.normalizer) {
    for (const AddedToken& token : p_.added) {
      std::u32string text = decode_utf8(token.content);
      if (token.is_normalized) text = p_.normalizer(std::move(text));
      if (text.empty() || text[0] >= 0x80) continue;
      const int first = static_cast<int>(text[0]);
      starts_token_[static_cast<std::size_t>(first)] = true;
      if (!token.is_normalized) continue;
      starts_token_[static_cast<std::size_t>(std::toupper(first))] = true;
      starts_token_[static_cast<std::size_t>(std::tolower(first))] = true;
    }
  }

  std::vector<std::int32_t> encode(std::string_view caption, bool* is_cut) const override {
    std::vector<std::int32_t> ids;
    if (p_.spec.bos_id >= 0) ids.push_back(static_cast<std::int32_t>(p_.spec.bos_id));
    if (is_plain(caption)) {
      encode_plain(caption, ids);
    } else {
      const std::u32string text = decode_utf8(caption);
      encode_text(cleans_first(p_.spec.cleaning) ? clean_text(text, p_.spec.cleaning) : text, ids);
    }
    const auto limit = static_cast<std::size_t>(p_.spec.context_length) - 1;
    if (is_cut != nullptr) *is_cut = ids.size() > limit;
    finish(ids);
    return ids;
  }

  const TextSpec& spec() const override { return p_.spec; }
  const std::string& fingerprint() const override { return p_.fingerprint; }
  bool is_clip() const override { return p_.is_clip; }
  TokenizerFiles hugging_face_files() const override { return p_.files; }

 private:
  bool is_full(const std::vector<std::int32_t>& ids) const {
    return ids.size() > static_cast<std::size_t>(p_.spec.context_length);
  }

  // ASCII text without added tokens, of which the normalizer changes only capitals and spaces:
  // CLIP's words can be matched in it directly.
  bool is_plain(std::string_view caption) const {
    return p_.normalizer.is_clip && p_.pre_tokenizer.is_clip && !cleans_first(p_.spec.cleaning) &&
           std::all_of(caption.begin(), caption.end(), [this](char c) {
             return c >= ' ' && c <= '~' && !starts_token_[static_cast<unsigned char>(c)];
           });
  }

  void encode_plain(std::string_view caption, std::vector<std::int32_t>& ids) const {
    std::string lower(caption);
    for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    const std::string_view text = lower;
    for (std::size_t i = 0; i < text.size() && !is_full(ids);) {
      if (text[i] == ' ') {
        ++i;
        continue;
      }
      const std::size_t end = match_word(text, i, false);
      encode_piece(text.substr(i, end - i), ids);
      i = end;
    }
  }

  void encode_text(const std::u32string& text, std::vector<std::int32_t>& ids) const {
    for (const Stretch& raw : added_.split_raw(text)) {
      if (is_full(ids)) return;
      if (raw.id >= 0) {
        ids.push_back(raw.id);
        continue;
      }
      const std::u32string normal = p_.normalizer(std::u32string(raw.text));
      for (const Stretch& part : added_.split_normalized(normal)) {
        if (part.id >= 0) {
          ids.push_back(part.id);
        } else {
          encode_words(part.text, ids);
        }
      }
    }
  }

  void encode_words(std::u32string_view text, std::vector<std::int32_t>& ids) const {
    for (const std::u32string& word : p_.pre_tokenizer(std::u32string(text))) {
      if (is_full(ids)) return;
      if (!word.empty()) encode_piece(encode_utf8(word), ids);
    }
  }

  void encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) const {
    if (piece.size() > kMaxCachedBytes) {
      p_.model->encode(p_.pre_tokenizer.is_byte_level ? symbols(piece) : std::string(piece), ids);
      return;
    }
    if (const auto* known = cache_.find(piece); known != nullptr) {
      ids.insert(ids.end(), known->begin(), known->end());
      return;
    }
    std::vector<std::int32_t> piece_ids;
    p_.model->encode(p_.pre_tokenizer.is_byte_level ? symbols(piece) : std::string(piece),
                     piece_ids);
    ids.insert(ids.end(), piece_ids.begin(), piece_ids.end());
    cache_.insert(piece, std::move(piece_ids));
  }

  static std::string symbols(std::string_view piece) {
    std::string text;
    for (const char byte : piece) text += byte_symbols()[static_cast<unsigned char>(byte)];
    return text;
  }

  void finish(std::vector<std::int32_t>& ids) const {
    const auto limit = static_cast<std::size_t>(p_.spec.context_length);
    if (ids.size() > limit - 1) ids.resize(limit - 1);
    ids.push_back(static_cast<std::int32_t>(p_.spec.eos_id));
    if (p_.spec.is_padded) ids.resize(limit, static_cast<std::int32_t>(p_.spec.pad_id));
  }

  Pipeline p_;
  AddedTokens added_;
  std::array<bool, 256> starts_token_{};
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(Pipeline pipeline) {
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

}  // namespace saferclip
