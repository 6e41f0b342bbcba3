// Option fields: each component owns a plain options struct that names its fields once. Reading,
// dumping, documentation, the resume check and the keys of caches all walk the same list.
//
//   struct TrainOptions {
//     std::int64_t epochs = 9;
//     template <class Self, class Visit>
//     static void fields(Self& self, Visit&& visit) {
//       visit(field("epochs", "Passes over the admitted rows.").at_least(1).free(), self.epochs);
//     }
//   };
//
// Member types: bool, std::int64_t, double, std::string, std::optional<T>, std::vector<T>,
// std::map<std::string, T>, and structs that have `fields` themselves (sections).
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
  kHome,    // left as it is but for a home folder: a template, whose rest is filled in later
};

// What an input path leads to.
enum class PathKind { kAny, kFile, kFolder };

// What a field has to do with the key of an artefact that its options go into.
enum class KeyRule {
  kValue,    // its value is part of the key
  kContent,  // names a file or folder: who makes the key adds what that holds
  kNone,     // the artefact is the same whatever it says
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
  std::string path_exempt;           // text that contains this is not a path; empty: none
  std::string empty_word;            // word that stands for "no value" of an optional, besides null

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
  // The value may change on resume. Input paths may too: what they hold is compared by content.
  FieldSpec free() && {
    resume = ResumeRule::kFree;
    return std::move(*this);
  }
  FieldSpec keyed_by_content() && {
    key = KeyRule::kContent;
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
  // `word` means the same as null for an optional field ("auto").
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
