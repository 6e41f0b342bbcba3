// A minimal protocol buffer reader for the few fields that matter; unknown fields are skipped, as
// the format demands. Limits exist where the library's run time or memory depends on the file:
// piece length, and replacements in the normalization table.
#include "text/sentencepiece_model.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "text/charsmap.h"

namespace saferclip {
namespace {

// Long pieces make the library's search quadratic; Gemma's longest has 93 bytes.
constexpr std::size_t kMaxPieceBytes = 1024;

// One field of a protocol buffer: its id and its value, in `number` or `bytes` by wire type.
struct Field {
  std::uint64_t id = 0;
  std::uint64_t number = 0;
  std::string_view bytes;
};

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : rest_(bytes), name_(name) {}

  // False at the end. Throws DataError for anything but a field.
  bool next(Field& field) {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field = {key >> 3U, 0, {}};
    switch (key & 7U) {
      case 0:
        field.number = varint();
        break;
      case 1:
        field.bytes = take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        damaged();
    }
    if (field.id == 0) damaged();
    return true;
  }

 private:
  [[noreturn]] void damaged() const {
    throw DataError(cat(name_,
                        ": is not a SentencePiece model, or is damaged (not a valid protocol "
                        "buffer); fetch the file again"));
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) damaged();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  const std::string& name_;
};

SentencePieceModel::Piece read_piece(std::string_view bytes, std::size_t id,
                                     const std::string& name) {
  SentencePieceModel::Piece piece;
  Reader reader(bytes, name);
  const auto refuse = [&](const std::string& what) {
    throw DataError(cat(name, ": piece ", id, " ", what, "; fetch the file again"));
  };
  for (Field field; reader.next(field);) {
    if (field.id == 1) piece.text = field.bytes;
    if (field.id == 2) {
      if (field.bytes.size() != sizeof(float)) refuse("has a score that is not a 32-bit float");
      std::memcpy(&piece.score, field.bytes.data(), sizeof(float));
    }
    if (field.id == 3) {
      if (field.number < 1 || field.number > 6) refuse("has an unknown type");
      piece.type = static_cast<SentencePieceModel::Type>(field.number);
    }
  }
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes)
    refuse(cat("has ", piece.text.size(), " bytes, expected 1 … ", kMaxPieceBytes));
  if (!is_valid_utf8(piece.text) || piece.text.find('\0') != std::string::npos)
    refuse("is not UTF-8 text");
  if (!std::isfinite(piece.score)) refuse("has a score that is not finite");
  return piece;
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& name) {
  SentencePieceModel model;
  std::uint64_t algorithm = 1;  // the default of the message
  Reader reader(bytes, name);
  for (Field field; reader.next(field);) {
    Reader part(field.bytes, name);
    Field inner;
    switch (field.id) {
      case 1:
        model.pieces.push_back(read_piece(field.bytes, model.pieces.size(), name));
        break;
      case 2:
        while (part.next(inner)) {
          if (inner.id == 3) algorithm = inner.number;
        }
        break;
      case 3:
      case 5:
        while (part.next(inner)) {
          if (inner.id == 2) check_charsmap(inner.bytes, name);
        }
        break;
      default:
        break;
    }
  }
  if (model.pieces.empty())
    throw DataError(cat(name, ": has no pieces; expected a SentencePiece model"));
  if (algorithm != 1 && algorithm != 2) {
    throw DataError(cat(name, ": is a SentencePiece model of type ", algorithm,
                        ", expected 1 (unigram, SigLIP) or 2 (BPE, SigLIP 2)"));
  }
  model.is_unigram = algorithm == 1;
  return model;
}

}  // namespace saferclip
