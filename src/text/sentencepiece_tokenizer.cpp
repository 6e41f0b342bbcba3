// The only user of the SentencePiece library, which loads only bytes that sentencepiece_model.cpp
// has validated. Clients differ in how special tokens inside a caption count and in when they
// clean; encode() has a branch for each.
#include <sentencepiece_processor.h>

#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/text/tokenizer.h"
#include "text/clean.h"
#include "text/sentencepiece_files.h"
#include "text/sentencepiece_model.h"
#include "text/unicode.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using sentencepiece::SentencePieceProcessor;
using Kind = SentencePieceKind;

constexpr char32_t kSpaceMark = U'\u2581';  // represents a space in a piece

// The special tokens that a caption may contain: texts and ids.
using Marks = std::vector<std::pair<std::u32string, std::int32_t>>;

class SentencePieceTokenizer : public Tokenizer {
 public:
  using Files = std::vector<std::pair<std::string, std::string>>;

  SentencePieceTokenizer(std::unique_ptr<SentencePieceProcessor> processor, Kind kind,
                         TextSpec spec, Marks marks, Files files, std::string fingerprint)
      : processor_(std::move(processor)),
        kind_(kind),
        spec_(spec),
        marks_(std::move(marks)),
        files_(std::move(files)),
        fingerprint_(std::move(fingerprint)),
        unknown_(processor_->IdToPiece(processor_->unk_id())) {
    unknown_length_ = pieces_of(unknown_).size();
  }

  std::vector<std::int32_t> encode(std::string_view caption, bool* is_cut) const override {
    const std::u32string text = decode_utf8(caption);
    std::vector<std::int32_t> ids;
    const auto plain = [this](std::u32string_view part) { return pieces_of(encode_utf8(part)); };
    if (spec_.cleaning == TextCleaning::kNone) {
      encode_around_marks(text, ids, plain);
    } else if (spec_.cleaning != TextCleaning::kSiglip) {
      encode_around_marks(clean_text(text, spec_.cleaning), ids, plain);
    } else if (kind_ == Kind::kGemma) {
      ids = pieces_of(encode_utf8(clean_text(text, spec_.cleaning)));
    } else {
      encode_siglip(text, ids);
    }
    const bool was_cut = finish(ids);
    if (is_cut != nullptr) *is_cut = was_cut;
    return ids;
  }

  const TextSpec& spec() const override { return spec_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  Files hugging_face_files() const override { return files_; }

 private:
  std::vector<std::int32_t> pieces_of(const std::string& text) const {
    std::vector<int> ids;
    const auto status = processor_->Encode(text, &ids);
    if (!status.ok())
      throw DataError(cat("SentencePiece: ", status.message(), ": caption \"", text, "\""));
    return ids;
  }

  // Splits the text at special tokens; `encode_part` returns the ids of the text between them.
  template <class EncodePart>
  void encode_around_marks(const std::u32string& text, std::vector<std::int32_t>& ids,
                           EncodePart encode_part) const {
    const auto add = [&](std::size_t begin, std::size_t end) {
      if (begin == end) return;
      const auto part = encode_part(std::u32string_view(text).substr(begin, end - begin));
      ids.insert(ids.end(), part.begin(), part.end());
    };
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size();) {
      const auto* mark = mark_at(text, i);
      if (mark == nullptr) {
        ++i;
        continue;
      }
      add(begin, i);
      ids.push_back(mark->second);
      i += mark->first.size();
      begin = i;
    }
    add(begin, text.size());
  }

  // The longest special token at `position`, or null.
  const Marks::value_type* mark_at(const std::u32string& text, std::size_t position) const {
    const Marks::value_type* found = nullptr;
    for (const auto& mark : marks_) {
      if (text.compare(position, mark.first.size(), mark.first) == 0 &&
          (found == nullptr || mark.first.size() > found->first.size()))
        found = &mark;
    }
    return found;
  }

  // Like transformers' SiglipTokenizer: puts a space symbol before the caption, then cleans and
  // encodes each part with the text of the unknown piece in front, so that the library does not
  // treat its start as the start of a word, and drops the ids of that text.
  void encode_siglip(std::u32string text, std::vector<std::int32_t>& ids) const {
    std::replace(text.begin(), text.end(), kSpaceMark, U' ');
    text.insert(text.begin(), kSpaceMark);
    encode_around_marks(text, ids, [this](std::u32string_view part) {
      const std::u32string cleaned = clean_text(std::u32string(part), spec_.cleaning);
      auto pieces = pieces_of(unknown_ + encode_utf8(cleaned));
      pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(
                                                        std::min(unknown_length_, pieces.size())));
      return pieces;
    });
  }

  // Adds end token and padding; returns whether ids were truncated.
  bool finish(std::vector<std::int32_t>& ids) const {
    const auto limit = static_cast<std::size_t>(spec_.context_length);
    const auto eos = static_cast<std::int32_t>(spec_.eos_id);
    const bool has_end = kind_ != Kind::kGemma && !ids.empty() && ids.back() == eos;
    const bool is_cut = ids.size() > (has_end ? limit : limit - 1);
    if (ids.size() > limit - 1) ids.resize(limit - 1);
    // transformers' SiglipTokenizer adds no end token after one that the caption ends with.
    if (kind_ == Kind::kGemma || ids.empty() || ids.back() != eos) ids.push_back(eos);
    ids.resize(limit, static_cast<std::int32_t>(spec_.pad_id));
    return is_cut;
  }

  std::unique_ptr<SentencePieceProcessor> processor_;
  Kind kind_;
  TextSpec spec_;
  Marks marks_;
  Files files_;
  std::string fingerprint_;
  std::string unknown_;
  std::size_t unknown_length_ = 0;
};

// Loads validated bytes. Turns any failure of the library into a DataError.
std::unique_ptr<SentencePieceProcessor> open_processor(const std::string& bytes,
                                                       const std::string& name) {
  auto processor = std::make_unique<SentencePieceProcessor>();
  std::string problem;
  try {
    const auto status = processor->LoadFromSerializedProto(bytes);
    if (status.ok()) return processor;
    problem = status.message();
  } catch (const std::exception& error) {
    problem = error.what();
  } catch (...) {
    problem = "unknown failure";
  }
  throw DataError(cat(name, ": SentencePiece cannot load it: ", problem, "; fetch the file again"));
}

Kind kind_of(const SentencePieceProcessor& processor, bool is_unigram, const std::string& name) {
  const int pad = processor.pad_id(), eos = processor.eos_id(), bos = processor.bos_id(),
            unk = processor.unk_id();
  if (is_unigram && eos == 1 && bos == -1) return Kind::kSiglip;
  if (!is_unigram && pad == 0 && eos == 1 && bos == 2) return Kind::kGemma;
  throw DataError(cat(name, ": is a SentencePiece model (", is_unigram ? "unigram" : "BPE",
                      ") with pad ", pad, ", eos ", eos, ", bos ", bos, ", unk ", unk,
                      "; expected SigLIP's (unigram, eos 1, no bos: -1) or SigLIP 2's (BPE, pad 0, "
                      "eos 1, bos 2); give the model's own tokenizer"));
}

// The model file of a folder that its transformers class would read.
fs::path model_file(const fs::path& folder, const std::optional<Kind>& kind) {
  fs::path siglip = folder / "spiece.model";
  fs::path gemma = folder / "tokenizer.model";
  if (is_file(siglip) && is_file(gemma)) {
    if (kind) return *kind == Kind::kSiglip ? siglip : gemma;
    throw DataError(cat(folder.string(),
                        ": has both spiece.model and tokenizer.model, and no "
                        "tokenizer_config.json that says which to use; give the file itself"));
  }
  if (is_file(siglip)) return siglip;
  if (is_file(gemma)) return gemma;
  throw DataError(
      cat(folder.string(), ": expected spiece.model or tokenizer.model, found ",
          is_file(folder / "tokenizer.json")
              ? "only tokenizer.json; give the folder as model.tokenizer, or the SentencePiece "
                "model of the original checkpoint (SigLIP: spiece.model, SigLIP 2: tokenizer.model)"
              : "neither; give the folder or the file of SigLIP's SentencePiece model"));
}

Marks marks_of(const SentencePieceModel& model, Kind kind, std::int64_t eos, std::int64_t pad) {
  Marks marks;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto type = model.pieces[id].type;
    const auto number = static_cast<std::int64_t>(id);
    // transformers' SiglipTokenizer knows only the tokens that it names; for Gemma all are special.
    const bool is_mark = type == SentencePieceModel::Type::kUnknown || number == eos ||
                         number == pad ||
                         (kind == Kind::kGemma && type == SentencePieceModel::Type::kControl);
    if (is_mark)
      marks.emplace_back(decode_utf8(model.pieces[id].text), static_cast<std::int32_t>(id));
  }
  return marks;
}

std::int64_t pad_id_of(const SentencePieceProcessor& processor, Kind kind,
                       const SentencePieceFolder& folder, const std::string& name) {
  const bool is_siglip = kind == Kind::kSiglip;
  if (folder.pad_token.empty()) return is_siglip ? processor.eos_id() : processor.pad_id();
  const int id = processor.PieceToId(folder.pad_token);
  if (processor.IdToPiece(id) != folder.pad_token) {
    throw DataError(cat(name, ": has no piece \"", folder.pad_token,
                        "\", which the folder's files name as pad_token; correct one of them"));
  }
  return id;
}

SentencePieceTokenizer::Files files_of(const SentencePieceProcessor& processor, Kind kind,
                                       const TextSpec& spec, const std::string& bytes,
                                       const SentencePieceFolder& folder) {
  const auto piece = [&](std::int64_t id) {
    return id < 0 ? std::string() : processor.IdToPiece(static_cast<int>(id));
  };
  SentencePieceTokenizer::Files files{
      {kind == Kind::kSiglip ? "spiece.model" : "tokenizer.model", bytes}};
  files.insert(files.end(), folder.files.begin(), folder.files.end());
  // A folder's own files stay as they are; new ones are needed only to name the class.
  const auto is_config = [](const auto& file) { return file.first == "tokenizer_config.json"; };
  if (std::none_of(files.begin(), files.end(), is_config)) {
    const SpecialPieces specials{piece(spec.pad_id), piece(spec.eos_id), piece(processor.bos_id()),
                                 piece(processor.unk_id())};
    for (auto& made : sentencepiece_files(kind, specials, spec)) {
      const auto is_same = [&](const auto& file) { return file.first == made.first; };
      if (std::none_of(files.begin(), files.end(), is_same)) files.push_back(std::move(made));
    }
  }
  return files;
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const fs::path& model_or_folder,
                                                        std::int64_t context_length,
                                                        TextCleaning cleaning) {
  if (cleaning == TextCleaning::kHuggingFace) {
    throw ConfigError(
        "model.text_clean: hf is for CLIP; SigLIP's tokenizers accept siglip, canonicalize, "
        "whitespace, openai or none");
  }
  if (context_length < 1)
    throw ConfigError(cat("context length: expected at least 1, found ", context_length));
  std::error_code ignored;
  const bool is_folder = fs::is_directory(model_or_folder, ignored);
  const SentencePieceFolder folder =
      is_folder ? read_sentencepiece_folder(model_or_folder) : SentencePieceFolder{};
  const fs::path file = is_folder ? model_file(model_or_folder, folder.kind) : model_or_folder;
  const std::string name = file.string();
  const std::string bytes = read_file(file);
  const SentencePieceModel model = read_sentencepiece_model(bytes, name);
  auto processor = open_processor(bytes, name);
  const Kind kind = kind_of(*processor, model.is_unigram, name);
  if (folder.kind && *folder.kind != kind) {
    throw DataError(cat(
        (model_or_folder / "tokenizer_config.json").string(), ": tokenizer_class belongs to ",
        kind == Kind::kSiglip ? "SigLIP 2" : "SigLIP", ", but ", name, " holds ",
        kind == Kind::kSiglip ? "SigLIP's" : "SigLIP 2's", " ids; use files of a single model"));
  }
  TextSpec spec;
  spec.context_length = context_length;
  spec.vocab_size = processor->GetPieceSize();
  spec.bos_id = -1;
  spec.eos_id = processor->eos_id();
  spec.pad_id = pad_id_of(*processor, kind, folder, name);
  spec.cleaning = cleaning;
  spec.is_padded = true;
  auto files = files_of(*processor, kind, spec, bytes, folder);
  std::string fingerprint = cat("sentencepiece ", sha256_hex(bytes), " pad ", spec.pad_id,
                                " context ", context_length, " clean ", to_string(cleaning));
  Marks marks = marks_of(model, kind, spec.eos_id, spec.pad_id);
  return std::make_unique<SentencePieceTokenizer>(
      std::move(processor), kind, spec, std::move(marks), std::move(files), std::move(fingerprint));
}

}  // namespace saferclip
