// What a SentencePiece model file holds, read without the library: it trusts its files, so they are
// checked before it sees them.
// Source: sentencepiece_model.proto and normalizer.cc of SentencePiece 0.1.97.
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
  bool is_unigram = true;  // else byte pair encoding
  std::vector<Piece> pieces;
};

// `bytes` of the file called `name`. Throws DataError: not a message of that form, a model that is
// neither unigram nor BPE, no pieces, a piece that is empty, too long or not UTF-8, a score that is
// not finite, a normalisation table that points outside itself or makes much out of little.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name);

}  // namespace saferclip
