// The contents of a SentencePiece model file, read without the library: it trusts its input, so
// files are validated before it sees them. Source: sentencepiece_model.proto and normalizer.cc of
// SentencePiece 0.1.97.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

struct SentencePieceModel {
  enum class Type { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::kNormal;
  };
  bool is_unigram = true;  // false: byte pair encoding
  std::vector<Piece> pieces;
};

// `name` is for messages. Throws DataError for malformed messages, models that are neither unigram
// nor BPE, no pieces, pieces that are empty, too long or not UTF-8, scores that are not finite, and
// normalization tables that check_charsmap() refuses.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name);

}  // namespace saferclip
