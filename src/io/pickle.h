// Python's pickle format read as data. Nothing is ever constructed or called: a class or function
// is a name, a call is a record of that name and its arguments. Values live in one arena and refer
// to each other by index, so cycles and deep nesting cost neither stack nor leaks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace saferclip {

using PickleId = std::uint32_t;

struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInteger,
    kBigInteger,  // `text` holds its little-endian two's complement bytes
    kReal,
    kText,   // str, or bytes
    kTuple,  // also a set
    kList,
    kDict,        // `items`: key, value, key, value, …
    kGlobal,      // `text` is "module.name"
    kCall,        // `callee` with the tuple items[0]; `state` what BUILD gave; `extra` its items
    kPersistent,  // items[0] is the persistent id
  };
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<PickleId> items;
  // Of a call only.
  PickleId callee = 0;
  PickleId state = 0;           // 0: none
  std::vector<PickleId> extra;  // what SETITEMS and APPENDS added to the called object
};

struct Pickle {
  std::vector<PickleValue> values;  // values[0] is None
  PickleId root = 0;
  std::size_t size = 0;  // bytes of the stream, end mark included

  const PickleValue& operator[](PickleId id) const { return values[id]; }
};

// Reads one pickle from the beginning of `bytes`. `is_allowed("module.name")` decides which globals
// may stand in it. Throws WeightsError that names `where` and the byte: another global, a truncated
// stream, an opcode that torch.save does not write, more than 2^21 values or 2^26 bytes.
Pickle read_pickle(std::string_view bytes, const std::string& where,
                   const std::function<bool(const std::string&)>& is_allowed);

}  // namespace saferclip
