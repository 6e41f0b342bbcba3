// Option fields: each component owns a plain options struct that lists its fields once. Reading,
// dumping, documentation, the resume check and cache keys all walk this list.
//
//   struct TrainOptions {
//     std::int64_t epochs = 9;
//     template <class Self, class Visit>
//     static void fields(Self& self, Visit&& visit) {
//       visit(field("epochs", "Passes over the admitted rows.").at_least(1), self.epochs);
//     }
//   };
//
// Member types: bool, std::int64_t, double, std::string, enums with words (core/enum_words.h),
// std::optional<T>, std::vector<T>, std::map<std::string, T>, and structs with `fields` of their
// own (sections). An enum's words are its choices; no field lists them again.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace saferclip {

// Whether a value may differ between a run and its resumption.
enum class ResumeRule { kFixed, kFree };

// How a string that names a file is made absolute.
enum class PathRule {
  kNone,    // not a path
  kInput,   // relative to the file in which the value is written
  kOutput,  // relative to the working directory
  kHome,    // a template to fill in later; only a home folder (~) is expanded now
};

// What an input path must name.
enum class PathKind { kAny, kFile, kFolder };

// How a field enters the cache key of an artifact made with these options.
enum class KeyRule {
  kValue,    // its value is part of the key
  kNumber,   // an enum's number is, not its word: keys made before it had words stay valid
  kContent,  // the key's maker adds the content of the file or folder that it names
  kNone,     // the artifact does not depend on it
};

struct FieldSpec {
  std::string name;
  std::string meaning;
  ResumeRule resume = ResumeRule::kFixed;
  PathRule path = PathRule::kNone;
  PathKind path_kind = PathKind::kAny;
  KeyRule key = KeyRule::kValue;
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_is_excluded = false;
  bool max_is_excluded = false;
  std::vector<std::string> choices;  // allowed words of a string field; empty: any
  std::string path_exempt;  // a value that contains this is not a path; empty: no such text
  std::string empty_word;   // word that means "no value" of an optional, like null

  FieldSpec at_least(double value) && {
    min = value;
    return std::move(*this);
  }
  FieldSpec above(double value) && {
    min = value;
    min_is_excluded = true;
    return std::move(*this);
  }
  FieldSpec at_most(double value) && {
    max = value;
    return std::move(*this);
  }
  FieldSpec below(double value) && {
    max = value;
    max_is_excluded = true;
    return std::move(*this);
  }
  // May change on resume. Input paths may too: resuming compares the content instead.
  FieldSpec may_change_on_resume() && {
    resume = ResumeRule::kFree;
    return std::move(*this);
  }
  FieldSpec keyed_by_content() && {
    key = KeyRule::kContent;
    return std::move(*this);
  }
  FieldSpec keyed_by_number() && {
    key = KeyRule::kNumber;
    return std::move(*this);
  }
  FieldSpec not_in_keys() && {
    key = KeyRule::kNone;
    return std::move(*this);
  }
  FieldSpec one_of(std::vector<std::string> words) && {
    choices = std::move(words);
    return std::move(*this);
  }
  // For an optional field, `word` ("auto") means null.
  FieldSpec or_word(std::string word) && {
    empty_word = std::move(word);
    return std::move(*this);
  }
  FieldSpec input_path() && {
    path = PathRule::kInput;
    return std::move(*this);
  }
  FieldSpec input_file() && {
    path_kind = PathKind::kFile;
    return std::move(*this).input_path();
  }
  FieldSpec input_folder() && {
    path_kind = PathKind::kFolder;
    return std::move(*this).input_path();
  }
  // An input file unless the text contains `mark`.
  FieldSpec input_file_unless(std::string mark) && {
    path_exempt = std::move(mark);
    return std::move(*this).input_file();
  }
  FieldSpec home_path() && {
    path = PathRule::kHome;
    return std::move(*this);
  }
  FieldSpec output_path() && {
    path = PathRule::kOutput;
    return std::move(*this);
  }
};

inline FieldSpec field(std::string name, std::string meaning = "") {
  FieldSpec spec;
  spec.name = std::move(name);
  spec.meaning = std::move(meaning);
  return spec;
}

// A struct whose fields are listed by a static `fields(self, visit)`.
struct AnyVisitor {
  template <class T>
  void operator()(const FieldSpec&, T&) const {}
};
template <class T>
concept HasFields = requires(T& value) {
  T::fields(value, AnyVisitor{});
};

}  // namespace saferclip
