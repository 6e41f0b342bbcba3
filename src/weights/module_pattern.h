// Python's regular expressions on module names, as PEFT's configurations use them.
#pragma once

#include <functional>
#include <string>

namespace saferclip {

using NameTest = std::function<bool(const std::string& name)>;

// re.fullmatch(expression, name). Throws WeightsError naming any construct that Python and C++
// interpret differently (flags, named groups, look-behind, possessive quantifiers, back-references,
// letters after a backslash). Matching takes time linear in the name's length.
NameTest full_match(const std::string& expression);

// PEFT's get_pattern_key: the key matches the end of a name, starting after a dot.
NameTest pattern_key(const std::string& key);

}  // namespace saferclip
