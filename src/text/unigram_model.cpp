// The Viterbi search of the tokenizers library over character positions, including its choices: a
// later candidate must be strictly better, an unknown character costs a fixed penalty below the
// least likely entry, and adjacent unknown characters are fused.
#include <algorithm>
#include <limits>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "text/subword_model.h"

namespace saferclip {
namespace {

// Log probability of an unknown character below that of the least likely entry.
constexpr double kUnknownPenalty = 10;

class UnigramModel : public SubwordModel {
 public:
  UnigramModel(UnigramSettings settings, const std::string& where)
      : settings_(std::move(settings)) {
    if (settings_.entries.empty()) throw DataError(cat(where, ": model.vocab is empty"));
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t id = 0; id < settings_.entries.size(); ++id) {
      const auto& [text, score] = settings_.entries[id];
      ids_.insert_or_assign(text, static_cast<std::int32_t>(id));
      longest_ = std::max(longest_, text.size());
      least = std::min(least, score);
    }
    unknown_score_ = least - kUnknownPenalty;
    if (settings_.unknown && (*settings_.unknown < 0 || *settings_.unknown >= size()))
      throw DataError(
          cat(where, ": model.unk_id ", *settings_.unknown, " is not one of ", size(), " entries"));
  }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    std::vector<std::string_view> parts = best_path(piece);
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) add(std::string(*part), ids);
  }

  std::optional<std::int32_t> id_of(const std::string& entry) const override {
    const auto found = ids_.find(entry);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(settings_.entries.size()); }

 private:
  struct Node {
    double score = 0;
    std::size_t begin = 0;
    std::int32_t id = -1;
    bool is_reached = false;
  };

  static std::size_t character_length(std::string_view text, std::size_t at) {
    std::size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    return end - at;
  }

  void reach(Node& node, double score, std::size_t begin, std::int32_t id) const {
    if (node.is_reached && score <= node.score) return;
    node = {score, begin, id, true};
  }

  // The parts from last to first, with adjacent unknown ones fused.
  std::vector<std::string_view> best_path(std::string_view text) const {
    std::vector<Node> nodes(text.size() + 1);
    const std::int32_t unknown = settings_.unknown.value_or(-1);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t first_length = character_length(text, begin);
      bool has_single = false;
      std::string part;
      for (std::size_t end = begin; end < text.size() && part.size() < longest_;) {
        const std::size_t length = character_length(text, end);
        part.append(text.substr(end, length));
        end += length;
        const auto found = ids_.find(part);
        if (found == ids_.end()) continue;
        const double score = settings_.entries[static_cast<std::size_t>(found->second)].second;
        reach(nodes[end], score + nodes[begin].score, begin, found->second);
        has_single = has_single || end - begin == first_length;
      }
      if (!has_single) {
        if (unknown < 0)
          throw DataError(cat("the tokenizer has no entry for \"", text.substr(begin, first_length),
                              "\" and no unknown token"));
        reach(nodes[begin + first_length], unknown_score_ + nodes[begin].score, begin, unknown);
      }
      begin += first_length;
    }
    std::vector<std::string_view> parts;
    bool is_last_unknown = false;
    for (std::size_t end = text.size(); end > 0;) {
      const Node& node = nodes[end];
      const bool is_unknown = node.id == unknown;
      if (is_unknown && is_last_unknown) {
        parts.back() = text.substr(node.begin, parts.back().size() + end - node.begin);
      } else {
        parts.push_back(text.substr(node.begin, end - node.begin));
      }
      is_last_unknown = is_unknown;
      end = node.begin;
    }
    return parts;
  }

  void add(const std::string& part, std::vector<std::int32_t>& ids) const {
    if (const auto found = id_of(part)) {
      ids.push_back(*found);
      return;
    }
    if (settings_.has_byte_fallback) {
      std::vector<std::int32_t> bytes;
      for (const char c : part) {
        static constexpr char kDigits[] = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(c);
        const auto found = id_of({'<', '0', 'x', kDigits[byte >> 4U], kDigits[byte & 15U], '>'});
        if (found) bytes.push_back(*found);
      }
      if (bytes.size() == part.size()) {
        ids.insert(ids.end(), bytes.begin(), bytes.end());
        return;
      }
    }
    ids.push_back(*settings_.unknown);
  }

  UnigramSettings settings_;
  std::unordered_map<std::string, std::int32_t> ids_;
  double unknown_score_ = 0;
  std::size_t longest_ = 0;
};

}  // namespace

std::unique_ptr<SubwordModel> make_unigram(UnigramSettings settings, const std::string& where) {
  return std::make_unique<UnigramModel>(std::move(settings), where);
}

}  // namespace saferclip
