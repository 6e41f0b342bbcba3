// Reads untrusted configurations. Any fault (not JSON, endless nesting, a string where a number
// belongs) becomes a WeightsError that names the file; no exception of the JSON library escapes, so
// callers handle one kind of error.
#include "weights/json_fields.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {
namespace fs = std::filesystem;

void read_json_file(const fs::path& file, const std::function<void(const nlohmann::json&)>& read) {
  try {
    const std::string text = read_file(file);
    if (is_nested_deeper(text, 64)) throw WeightsError(cat(file.string(), ": nested too deeply"));
    const auto json = nlohmann::json::parse(text);
    if (!json.is_object()) throw WeightsError(cat(file.string(), ": not a JSON object"));
    read(json);
  } catch (const DataError& problem) {
    throw WeightsError(problem.what());
  } catch (const nlohmann::json::parse_error& problem) {
    throw WeightsError(cat(file.string(), ": not JSON: ", problem.what()));
  } catch (const nlohmann::json::exception& problem) {
    throw WeightsError(cat(file.string(), ": a value has the wrong type: ", problem.what()));
  }
}

std::int64_t json_integer(const nlohmann::json& json, const std::string& key, std::int64_t fallback,
                          const std::string& file) {
  if (!json.contains(key) || json[key].is_null()) return fallback;
  const nlohmann::json& value = json[key];
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
      value.get<std::int64_t>() > (std::int64_t{1} << 31)) {
    throw WeightsError(
        cat(file, ": ", key, ": expected a non-negative integer, found ", value.dump()));
  }
  return value.get<std::int64_t>();
}

}  // namespace saferclip
