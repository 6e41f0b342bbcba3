// Two passes. Cursor matches brackets and quotes only, and counts lines; RecordBuilder then parses
// one record with nlohmann's SAX interface, which reports what its DOM accepts silently: duplicate
// names, integers that lose digits, deep nesting. Parser errors are reworded for typical mistakes
// (NaN, trailing commas, single quotes, comments).
#include "io/json_records.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// A position in a text, and its line.
class Cursor {
 public:
  Cursor(std::string_view text, int line, JsonTrouble& trouble)
      : text_(text), line_(line), trouble_(trouble) {}

  bool is_good() const { return trouble_.what.empty(); }
  int line() const { return line_; }
  std::size_t position() const { return at_; }
  std::string_view since(std::size_t begin) const { return text_.substr(begin, at_ - begin); }
  // The next letter that is not blank; '\0' only at the end.
  char letter() {
    while (at_ < text_.size() && is_blank(text_[at_])) step();
    if (at_ == text_.size()) return '\0';
    return text_[at_] == '\0' ? '\1' : text_[at_];
  }
  void step() {
    if (text_[at_] == '\n') ++line_;
    ++at_;
  }
  bool fail(const std::string& what) { return fail(line_, what); }
  bool fail(int line, const std::string& what) {
    if (is_good()) trouble_ = {line, what};
    return false;
  }

  // Skips a quoted text.
  bool skip_text() {
    for (step(); at_ < text_.size() && text_[at_] != '\n'; step()) {
      if (text_[at_] == '"') return step(), true;
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] != '\n') step();
    }
    return fail("a string is not closed on its line; write a line break inside it as \\n");
  }

  // Skips one value: matches brackets and quotes, leaves the rest to the parser.
  bool skip_value() {
    const char first = letter();
    if (first == '"') return skip_text();
    if (first != '{' && first != '[') return skip_word();
    std::vector<std::pair<char, int>> open;
    do {
      const char c = letter();
      if (c == '\0') {
        return fail(cat("the file ends inside ", open.back().first == '{' ? "an object" : "a list",
                        " that begins on line ", open.back().second, "; is the file complete?"));
      }
      if (c == '"') {
        if (!skip_text()) return false;
        continue;
      }
      if (c == '{' || c == '[') open.emplace_back(c, line_);
      if (c == '}' || c == ']') {
        const char expected = open.back().first == '{' ? '}' : ']';
        if (c != expected) {
          return fail(cat("expected ", expected, ", found ", c, " (opened on line ",
                          open.back().second, ")"));
        }
        open.pop_back();
      }
      step();
    } while (!open.empty());
    return true;
  }

 private:
  bool skip_word() {
    const std::size_t begin = at_;
    if (at_ < text_.size() && (text_[at_] == '/' || text_[at_] == '#'))
      return fail("comments are not JSON; remove them");
    while (at_ < text_.size() && !is_blank(text_[at_]) &&
           std::string_view(",:[]{}\"").find(text_[at_]) == std::string_view::npos) {
      step();
    }
    return at_ > begin || fail("a value is missing");
  }

  std::string_view text_;
  int line_;
  JsonTrouble& trouble_;
  std::size_t at_ = 0;
};

// The word (such as NaN) around a position; empty if there is none.
std::string word_at(std::string_view text, std::size_t position) {
  const auto is_of_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.';
  };
  if (position >= text.size() || !is_of_word(text[position])) return "";
  std::size_t begin = position, end = position;
  while (begin > 0 && is_of_word(text[begin - 1])) --begin;
  while (end < text.size() && is_of_word(text[end])) ++end;
  return std::string(text.substr(begin, std::min<std::size_t>(end - begin, 40)));
}

// The parser's message in plain words; `position` is the letter at which it stopped.
std::string plain_reason(std::string_view text, std::size_t position, const std::string& message) {
  const std::string word = word_at(text, position);
  for (const char* name : {"NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "None", "True",
                           "False", "undefined"}) {
    if (word == name) {
      return cat(word, " is not JSON; write ",
                 word == "True" || word == "False" ? "true or false" : "null",
                 ", or leave the field out");
    }
  }
  if (message.find("surrogate") != std::string::npos)
    return "half of a surrogate pair (\\ud800 to \\udfff) is not a character; write the whole pair";
  if (position >= text.size()) return "ends inside a value; is the file complete?";
  const char letter = text[position];
  std::size_t before = position;
  while (before > 0 && is_blank(text[before - 1])) --before;
  if ((letter == '}' || letter == ']') && before > 0 && text[before - 1] == ',')
    return cat("a trailing comma before ", letter, "; remove it");
  if (letter == '\'') return "single quotes are not JSON; use double quotes";
  if (letter == '/' || letter == '#') return "comments are not JSON; remove them";
  // "[json.exception.parse_error.101] parse error at line 1, column 3: <reason>"
  const std::size_t name_end = message.find("] ");
  const std::size_t position_end = message.find(": ");
  const std::size_t begin = position_end != std::string::npos ? position_end + 2
                            : name_end != std::string::npos   ? name_end + 2
                                                              : 0;
  return "is not JSON: " + shortened_text(message.substr(begin), 200);
}

// nlohmann's SAX handler; builds the record as its DOM parser does.
class RecordBuilder {
 public:
  explicit RecordBuilder(const JsonSpan& record, JsonTrouble& trouble)
      : record_(record), trouble_(trouble) {}

  const Json& json() const { return root_; }

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(std::int64_t value) { return put(value); }
  bool number_unsigned(std::uint64_t value) { return put(value); }
  bool number_float(double value, const std::string& text) {
    const bool is_whole = text.find_first_of(".eE") == std::string::npos;
    return is_whole ? put(text) : put(value);
  }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(Json::object()); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (open_.back()->contains(name)) {
      trouble_ = {record_.line, cat("\"", shortened_text(name), "\" appears twice")};
      return false;
    }
    member_ = &(*open_.back())[name];
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& problem) {
    const std::size_t at = position > 0 ? position - 1 : 0;
    trouble_ = {record_.line + line_of(record_.text, at) - 1,
                plain_reason(record_.text, at, problem.what())};
    return false;
  }

 private:
  template <class T>
  bool put(T&& value) {
    next_slot() = std::forward<T>(value);
    return true;
  }
  Json& next_slot() {
    if (open_.empty()) return root_;
    if (!open_.back()->is_array()) return *member_;
    open_.back()->push_back(nullptr);
    return open_.back()->back();
  }
  bool open(Json empty) {
    if (open_.size() == static_cast<std::size_t>(kMaxRecordDepth)) {
      trouble_ = {record_.line, "is nested too deeply"};
      return false;
    }
    Json& slot = next_slot();
    slot = std::move(empty);
    open_.push_back(&slot);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonSpan& record_;
  JsonTrouble& trouble_;
  Json root_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;
};

}  // namespace

std::vector<JsonSpan> json_values(std::string_view text, int line, JsonTrouble& trouble) {
  std::vector<JsonSpan> values;
  Cursor cursor(text, line, trouble);
  for (char c = cursor.letter(); c != '\0'; c = cursor.letter()) {
    const int line_begin = cursor.line();
    const std::size_t begin = cursor.position();
    if (c != '{' && c != '[') {
      cursor.fail(c == ',' ? "a comma between records; remove it, or put all records in one list"
                           : "a record is missing");
      return {};
    }
    if (!cursor.skip_value()) return {};
    values.push_back({cursor.since(begin), line_begin});
  }
  return values;
}

std::vector<JsonSpan> json_members(const JsonSpan& container, JsonTrouble& trouble) {
  std::vector<JsonSpan> members;
  Cursor cursor(container.text, container.line, trouble);
  const bool is_object = cursor.letter() == '{';
  const char end = is_object ? '}' : ']';
  cursor.step();
  while (cursor.letter() != end) {
    JsonSpan member;
    if (is_object) {
      const std::size_t begin = cursor.position();
      if (cursor.letter() != '"' || !cursor.skip_text()) {
        cursor.fail("expected a name in double quotes");
        return {};
      }
      const std::string_view quoted = cursor.since(begin);
      member.key = quoted.substr(1, quoted.size() - 2);
      if (cursor.letter() != ':') {
        cursor.fail(cat("expected : after \"", shortened_text(std::string(member.key)), "\""));
        return {};
      }
      cursor.step();
    }
    cursor.letter();
    member.line = cursor.line();
    const std::size_t begin = cursor.position();
    if (!cursor.skip_value()) return {};
    member.text = cursor.since(begin);
    members.push_back(member);
    const char next = cursor.letter();
    if (next == end) break;
    if (next != ',') {
      cursor.fail(cat("expected a comma or ", end, " after a value"));
      return {};
    }
    const int comma_line = cursor.line();
    cursor.step();
    if (cursor.letter() == end) {
      cursor.fail(comma_line, cat("a trailing comma before ", end, "; remove it"));
      return {};
    }
  }
  return members;
}

std::string checked_record(const JsonSpan& record, JsonTrouble& trouble) {
  if (const std::string problem = utf8_problem(record.text); !problem.empty()) {
    trouble = {record.line, problem};
    return "";
  }
  RecordBuilder builder(record, trouble);
  if (!Json::sax_parse(record.text, &builder)) return "";
  return builder.json().dump();
}

}  // namespace saferclip
