// Python's `re` through std::regex. Both accept nearly the same expressions but interpret some
// differently; those are detected first and refused. Files are untrusted: without backtracking an
// expression cannot make matching run for long.
#include "weights/module_pattern.h"

#include <cctype>
#include <memory>
#include <regex>
#include <string_view>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// Finds constructs that ECMAScript's grammar accepts and Python interprets differently.
class Grammar {
 public:
  explicit Grammar(const std::string& expression) : text_(expression) {}

  void check() {
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        char_class();
      } else if (c == '(' && next() == '?') {
        ++at_;
        if (std::string_view(":=!").find(next()) == std::string_view::npos) refuse("(?…");
      }
      quantifier(c);
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw WeightsError(cat("\"", text_, "\": \"", what,
                           "\" from Python's regular-expression syntax is not supported"));
  }
  char next() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void escape() {
    const char letter = next();
    ++at_;
    const bool is_word = std::isalnum(static_cast<unsigned char>(letter)) != 0;
    if (is_word && std::string_view("dDsSwWbBtnrfv").find(letter) == std::string_view::npos) {
      refuse(std::string("\\") + letter);
    }
  }

  void char_class() {
    if (next() == '^') ++at_;
    if (next() == ']') refuse("[]");
    while (at_ < text_.size() && text_[at_] != ']') {
      const char c = text_[at_++];
      if (c == '[') refuse("[[");
      if (c == '\\' && (next() == 'b' || next() == 'B')) refuse("[\\b]");
      if (c == '\\') escape();
    }
    ++at_;
  }

  // `*+`, `a{2}+`: possessive in Python. `**` is an error there.
  void quantifier(char c) {
    if (std::string_view("*+?}").find(c) == std::string_view::npos) return;
    if (next() == '+' || next() == '*') refuse(std::string{c, next()});
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

// `written`: the part of `expression` from the file, for messages.
NameTest compiled(const std::string& expression, const std::string& written) {
  Grammar(written).check();
  std::shared_ptr<const std::regex> regex;
  try {
    // Without backtracking: a file must not control how long a match takes.
    regex = std::make_shared<const std::regex>(
        expression, std::regex::ECMAScript | std::regex_constants::__polynomial);
  } catch (const std::regex_error& problem) {
    throw WeightsError(
        cat("\"", written, "\": not a supported regular expression: ", problem.what()));
  }
  return [regex](const std::string& name) {
    return std::regex_search(name, *regex, std::regex_constants::match_continuous);
  };
}

}  // namespace

NameTest full_match(const std::string& expression) {
  return compiled("(?:" + expression + ")$", expression);
}

NameTest pattern_key(const std::string& key) { return compiled("(.*\\.)?(" + key + ")$", key); }

}  // namespace saferclip
