// A run's evaluation documents, one file each. A split's name does not identify its data, so a
// document is the run's own only if its split is configured as in the run (is_own_split) or its
// content hash equals that of an own document. The file names of all others end in eight digits of
// their content hash, so they never overwrite an own document; reports and model cards ignore them.
// A broken file is listed among the others, never deleted.
#include "saferclip/run/kept_evaluations.h"

#include <algorithm>
#include <map>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/run/run_folder.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kOwn = "own_data";
constexpr const char* kDuringTraining = "during_training";

struct KeptFile {
  fs::path path;
  OrderedJson document;  // a discarded value if broken
};

// The documents of a step, sorted by name; of all steps if `step` is negative.
std::vector<KeptFile> read_kept(const fs::path& run_folder, std::int64_t step) {
  std::vector<KeptFile> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_folder / "evaluations", error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(step < 0 ? "step_" : step_name(step) + ".") || !name.ends_with(".json")) {
      continue;
    }
    OrderedJson document = OrderedJson::parse(read_file(entry.path()), nullptr, false);
    if (!document.is_object() || !document.contains("split") || !document["split"].is_string()) {
      document = OrderedJson(OrderedJson::value_t::discarded);
    } else if (entry.path().stem().string().find('.') == std::string::npos) {
      document[kDuringTraining] = true;
    }
    files.push_back({entry.path(), std::move(document)});
  }
  std::sort(files.begin(), files.end(),
            [](const KeptFile& a, const KeptFile& b) { return a.path < b.path; });
  return files;
}

// Documents without the mark predate it; for them the manifest decides.
bool is_own(const OrderedJson& document, const RunConfig& run) {
  if (document.contains(kOwn)) return document[kOwn] == true;
  if (is_from_training(document)) return true;
  try {
    return document.value("manifest", "") ==
           split_source(run.data, document["split"].get<std::string>()).file.string();
  } catch (const ConfigError&) {
    return false;
  }
}

bool is_known_content(const fs::path& run_folder, const OrderedJson& document) {
  const std::vector<KeptFile> files = read_kept(run_folder, -1);
  return std::any_of(files.begin(), files.end(), [&](const KeptFile& file) {
    const OrderedJson& other = file.document;
    if (other.is_discarded() || !other.contains("content")) return false;
    const bool other_is_own = is_from_training(other) || other.value(kOwn, false);
    return other_is_own && other["split"] == document["split"] &&
           other["content"] == document["content"];
  });
}

fs::path place_of(const fs::path& run_folder, std::int64_t step, const OrderedJson& document,
                  bool with_content) {
  auto split = document["split"].get<std::string>();
  std::replace(split.begin(), split.end(), '/', '_');
  const std::string content =
      with_content ? "." + document["content"].get<std::string>().substr(0, 8) : "";
  return run_folder / "evaluations" / cat(step_name(step), ".", split, content, ".json");
}

void write(const fs::path& file, const OrderedJson& document) {
  make_folders(file.parent_path());
  write_file_atomically(file, document.dump(2) + "\n");
}

}  // namespace

bool is_from_training(const OrderedJson& document) {
  return document.value(kDuringTraining, false);
}

bool is_own_split(const RunConfig& run, const RunConfig& now, const std::string& split) {
  try {
    const SplitSource theirs = split_source(run.data, split), mine = split_source(now.data, split);
    if (theirs.file != mine.file || theirs.image_root != mine.image_root ||
        theirs.unsafe_image_template != mine.unsafe_image_template) {
      return false;
    }
  } catch (const ConfigError&) {
    return false;
  }
  for (const std::string& difference : resume_differences(run, now)) {
    const bool is_about_bad_rows =
        difference.starts_with("data.bad_rows") || difference.starts_with("data.max_bad_fraction");
    const bool is_measured = difference.starts_with("data.") || difference.starts_with("model.");
    if (is_measured && !is_about_bad_rows) return false;
  }
  return true;
}

bool keep_evaluation(const fs::path& run_folder, std::int64_t step, OrderedJson document,
                     MeasuredData data) {
  const bool is_own = data == MeasuredData::kOwn || is_known_content(run_folder, document);
  document[kOwn] = is_own;
  const fs::path place = place_of(run_folder, step, document, !is_own);
  if (is_own && is_file(place)) {
    OrderedJson earlier = OrderedJson::parse(read_file(place), nullptr, false);
    if (earlier.is_object() && earlier.contains("content") &&
        earlier["content"] != document["content"]) {
      earlier[kOwn] = false;
      write(place_of(run_folder, step, earlier, true), earlier);
    }
  }
  write(place, document);
  return is_own;
}

void keep_validation(const fs::path& run_folder, std::int64_t step, const OrderedJson& document) {
  write(run_folder / "evaluations" / (step_name(step) + ".json"), document);
}

fs::path outcomes_path(const fs::path& run_folder, std::int64_t step, std::string split) {
  std::replace(split.begin(), split.end(), '/', '_');
  return run_folder / "evaluations" / cat(step_name(step), ".", split, ".outcomes.safetensors");
}

KeptEvaluations kept_evaluations(const fs::path& run_folder, const RunConfig& run,
                                 std::int64_t step) {
  KeptEvaluations kept;
  std::map<std::string, OrderedJson> by_split;
  for (KeptFile& file : read_kept(run_folder, step)) {
    if (file.document.is_discarded() || !is_own(file.document, run)) {
      kept.others.push_back(file.path);
      continue;
    }
    OrderedJson& place = by_split[file.document["split"].get<std::string>()];
    if (place.is_null() || is_from_training(place)) place = std::move(file.document);
  }
  for (auto& [split, document] : by_split) kept.own.push_back(std::move(document));
  return kept;
}

}  // namespace saferclip
