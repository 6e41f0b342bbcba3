// What a reader should take away from an evaluation document: a verdict in words, and cards.
#pragma once

#include <optional>
#include <string>

#include "saferclip/eval/figures.h"

namespace saferclip {

// A change for better or worse is a claim, so the interval of the paired difference must exclude 0;
// a figure without such an interval is judged by its numbers.
enum class Outcome { kBetter, kWorse, kNeither, kUnclear, kSame };

struct Move {
  Figure figure;
  double before = 0;
  double after = 0;
  Outcome outcome = Outcome::kSame;
};

// Nothing if either model lacks the figure.
std::optional<Move> move_of(const Figure& figure, const OrderedJson& document);

// "▼ better": the arrow says where the number went, the word what that means.
std::string outcome_html(const Move& move);

// Whether the tuned model is safer and what it keeps, in words that the figures bear out.
std::string verdict_html(const OrderedJson& document);
// The headline figures before and after; empty if the document has none.
std::string cards_html(const OrderedJson& document);

}  // namespace saferclip
