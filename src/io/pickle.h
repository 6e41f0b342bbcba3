// Python's pickle format, read as data. Nothing is ever constructed or called: a class or function
// is a name, a call is a record of that name and its arguments. Values live in one arena and refer
// to each other by index, so cycles and deep nesting neither overflow the stack nor leak.
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
    kDict,    // `items`: key, value, key, value, …
    kGlobal,  // `text` is "module.name"
    kCall,  // of `callee` with the tuple items[0]; BUILD sets `state`, SETITEMS and APPENDS add to
            // `extra`
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
  std::vector<PickleId> extra;  // added to the object
};

struct Pickle {
  std::vector<PickleValue> values;  // values[0] is None
  PickleId root = 0;
  std::size_t size = 0;  // bytes of the stream, STOP included

  const PickleValue& operator[](PickleId id) const { return values[id]; }
};

// Reads one pickle at the beginning of `bytes`, in which only globals with
// is_allowed("module.name") may occur. Throws WeightsError, with `where` and the byte, for any
// other global, a truncated stream, an opcode that torch.save does not write, and more than 2^21
// values or 2^26 bytes.
Pickle read_pickle(std::string_view bytes, const std::string& where,
                   const std::function<bool(const std::string&)>& is_allowed);

}  // namespace saferclip
