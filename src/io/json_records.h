// Cuts a JSON text into its records without parsing it, so that each record is then parsed on its
// own and reports its problems with its own line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

// A value within a text, and the line on which it starts.
struct JsonSpan {
  std::string_view text;
  int line = 1;
  std::string_view key = {};  // of an object's member, as written between the quotes
};

// Why a text cannot be cut or parsed.
struct JsonTrouble {
  int line = 0;
  std::string what;  // empty: no trouble
};

// The consecutive values of `text`, which may only be lists and objects; `line` is that of its
// first letter.
std::vector<JsonSpan> json_values(std::string_view text, int line, JsonTrouble& trouble);
// The elements of a list or the members of an object.
std::vector<JsonSpan> json_members(const JsonSpan& container, JsonTrouble& trouble);

// Of a record. The fields that this program reads are two levels deep.
inline constexpr int kMaxRecordDepth = 64;

// The record as a JSON document without line breaks, with whole numbers beyond 64 bits as text.
// Duplicate names in one object are a trouble, as is anything that JSON does not allow.
std::string checked_record(const JsonSpan& record, JsonTrouble& trouble);

}  // namespace saferclip
