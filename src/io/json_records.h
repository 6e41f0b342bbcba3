// Cuts a JSON text into its records without building it, so that each record is read, and its
// trouble told, by itself and with its line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// A value of a text, and the line it starts on.
struct JsonSpan {
  std::string_view text;
  int line = 1;
  std::string_view key = {};  // of an object's member, as it is written between the quotes
};

// Why a text cannot be cut.
struct JsonTrouble {
  int line = 0;
  std::string what;  // empty: there is none
};

// The values that stand one after the other in `text`; only lists and objects are expected there.
std::vector<JsonSpan> json_values(std::string_view text, int line, JsonTrouble& trouble);
// The elements of a list or the members of an object.
std::vector<JsonSpan> json_members(const JsonSpan& container, JsonTrouble& trouble);

// Of a record; the fields that are read stand two levels deep.
inline constexpr int kMaxRecordDepth = 64;

// A record as a JSON document without line breaks: numbers that no 64-bit integer holds as text. A
// name that stands twice in one object is a trouble, as is what JSON does not allow.
std::string checked_record(const JsonSpan& record, JsonTrouble& trouble);

}  // namespace saferclip
