// Python's regular expressions on module names, as PEFT's configurations use them.
#pragma once

#include <functional>
#include <string>

namespace saferclip {

using NameTest = std::function<bool(const std::string& name)>;

// re.fullmatch(expression, name). What Python and C++ understand differently (flags, named groups,
// look-behind, possessive quantifiers, back-references, letters behind a backslash) throws
// WeightsError that says what; matching takes time linear in the name.
NameTest full_match(const std::string& expression);

// PEFT's get_pattern_key: the key stands for the end of a name, from a dot on.
NameTest pattern_key(const std::string& key);

}  // namespace saferclip
