// Undoes what DistributedDataParallel, Lightning, torch.compile, FSDP and others do to names.
// Prefixes are removed repeatedly, because wrappers nest (`module._orig_mod.`). `module.` and
// `model.` can be real module names, hence the rule that all names must share them.
#include "io/wrapper_names.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace {

// Components that no module of a model has.
constexpr const char* kUnmistakable[] = {"_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.",
                                         "_checkpoint_wrapped_module.", "_module."};

bool all_begin_with(const std::vector<std::string>& names, const std::string& prefix) {
  return !names.empty() && std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return name.starts_with(prefix) && name.size() > prefix.size();
  });
}

void strip_leading(std::vector<std::string>& names, std::vector<std::string>& notes) {
  std::vector<std::string> prefixes{"module.", "model."};
  prefixes.insert(prefixes.end(), std::begin(kUnmistakable), std::end(kUnmistakable));
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    for (const std::string& prefix : prefixes) {
      if (!all_begin_with(names, prefix)) continue;
      for (std::string& name : names) name.erase(0, prefix.size());
      notes.push_back(cat("removed the prefix \"", prefix, "\" from all tensor names"));
      is_changed = true;
    }
  }
}

// Removes `part` wherever it is a whole component: at the beginning or after a dot.
bool strip_inside(std::string& name, const std::string& part) {
  bool is_found = false;
  for (std::size_t at = 0; (at = name.find(part, at)) != std::string::npos;) {
    const bool is_component = at == 0 || name[at - 1] == '.';
    if (is_component && name.size() > part.size()) {
      name.erase(at, part.size());
      is_found = true;
    } else {
      at += part.size();
    }
  }
  return is_found;
}

}  // namespace

CleanNames without_wrappers(const std::vector<std::string>& names, const std::string& where) {
  CleanNames result;
  std::vector<std::string> clean = names;
  strip_leading(clean, result.notes);
  for (const std::string part : kUnmistakable) {
    const auto changed = std::count_if(clean.begin(), clean.end(),
                                       [&](std::string& name) { return strip_inside(name, part); });
    if (changed == 0) continue;
    result.notes.push_back(cat("removed \"", part, "\" from ", changed, " tensor names"));
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto [known, is_new] = result.originals.emplace(clean[i], names[i]);
    if (!is_new && known->second != names[i]) {
      throw WeightsError(
          cat(where, ": tensors \"", known->second, "\" and \"", names[i], "\" both become \"",
              clean[i],
              "\" without the prefixes that training wrappers add; save the unwrapped "
              "model's state_dict"));
    }
  }
  return result;
}

bool is_average(const std::string& name) {
  static const std::set<std::string> kWords{"ema", "swa", "average", "averaged", "shadow"};
  std::string word;
  for (const char c : name + ".") {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    if (kWords.contains(word)) return true;
    word.clear();
  }
  return false;
}

}  // namespace saferclip
