// Collects the paths that a configuration reads from. The field lists say which fields are input
// paths; words among a field's choices and values that contain its `path_exempt` are not paths.
// InputPath::problem also tests permission, so an unreadable file is found before the work starts.
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "saferclip/config/run_config.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/shard_paths.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

class Collector {
 public:
  template <HasFields Options>
  void collect(const Options& options, const std::string& path) {
    Options::fields(options, [&](const FieldSpec& spec, const auto& member) {
      const std::string key = path.empty() ? spec.name : path + "." + spec.name;
      if constexpr (HasFields<std::remove_cvref_t<decltype(member)>>) {
        collect(member, key);
      } else {
        add(spec, key, member);
      }
    });
  }
  std::vector<InputPath> take() { return std::move(found_); }

 private:
  void add(const FieldSpec& spec, const std::string& key, const std::string& value) {
    const bool is_word =
        std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end();
    const bool is_exempt =
        !spec.path_exempt.empty() && value.find(spec.path_exempt) != std::string::npos;
    if (spec.path != PathRule::kInput || value.empty() || is_word || is_exempt) return;
    found_.push_back({key, value, spec.path_kind});
  }
  template <class T>
  void add(const FieldSpec& spec, const std::string& key, const std::vector<T>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string item = cat(key, "[", i, "]");
      if constexpr (HasFields<T>) {
        collect(values[i], item);
      } else {
        add(spec, item, values[i]);
      }
    }
  }
  template <class T>
  void add(const FieldSpec& spec, const std::string& key, const std::map<std::string, T>& values) {
    for (const auto& [name, value] : values) {
      if constexpr (HasFields<T>) {
        collect(value, cat(key, ".", name));
      } else {
        add(spec, cat(key, ".", name), value);
      }
    }
  }
  template <class T>
  void add(const FieldSpec&, const std::string&, const T&) {}  // numbers

  std::vector<InputPath> found_;
};

// Why the tars that a pattern names cannot be read; "" if they can.
std::string shard_problem(const std::string& pattern) {
  try {
    for (const fs::path& shard : shard_paths(pattern)) {
      if (::access(shard.c_str(), R_OK) != 0)
        return shard.string() + ": cannot be read: permission denied";
    }
  } catch (const DataError& problem) {
    return problem.what();
  }
  return "";
}

}  // namespace

std::vector<InputPath> input_paths(const RunConfig& config) {
  Collector collector;
  collector.collect(config, "");
  return collector.take();
}

std::string InputPath::problem() const {
  if (kind == PathKind::kAny && is_shard_pattern(path)) return shard_problem(path);
  std::error_code error;
  const bool is_name = path.find('\0') == std::string::npos;
  const fs::file_status status = is_name ? fs::status(path, error) : fs::file_status();
  if (!is_name || !fs::exists(status)) {
    const char* what = kind == PathKind::kFile     ? ": no such file"
                       : kind == PathKind::kFolder ? ": no such folder"
                                                   : ": no such file or folder";
    return path + what;
  }
  const bool is_folder = fs::is_directory(status);
  if (kind == PathKind::kFile && is_folder) return path + ": is a folder, expected a file";
  if (kind == PathKind::kFolder && !is_folder) return path + ": is a file, expected a folder";
  if (::access(path.c_str(), is_folder ? R_OK | X_OK : R_OK) != 0) {
    return path + ": cannot be read: permission denied";
  }
  return "";
}

}  // namespace saferclip
