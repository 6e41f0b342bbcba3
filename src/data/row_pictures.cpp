// Relative paths start from image_root, or from the folder of the list that names them. The safe
// picture is the file that the row names by path, else by COCO id, else by the last part of its
// COCO address, else by file_name; the unsafe one is named by path or found by the template.
// Manifests are untrusted: the paths they name must be inside image_root, and an id must not lead
// out of the template's folder.
#include "data/row_pictures.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "data/manifest_fields.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::size_t kExamplesOfAbsent = 5;

// A hint for a missing path with backslashes, as Windows writes it.
std::string backslash_hint(std::string path) {
  if (path.find('\\') == std::string::npos) return "";
  std::replace(path.begin(), path.end(), '\\', '/');
  return cat("; write paths with /, not \\", is_file(path) ? cat(": ", path, " exists") : "");
}

// COCO's file names have twelve digits.
std::string coco_file(const Json& id) {
  std::string digits = text_of_number(id);
  if (digits.size() < 12) digits.insert(0, 12 - digits.size(), '0');
  return digits + ".jpg";
}

}  // namespace

RowPictures::RowPictures(const ManifestRequest& request, Report report)
    : request_(request),
      problem_(std::move(report)),
      root_(request.image_root.empty() ? request.file.parent_path() : request.image_root),
      start_(root_),
      fence_(root_),
      template_fence_(template_folder()) {}

fs::path RowPictures::resolved_in_row(const std::string& text) const {
  const fs::path path(text);
  return (path.is_absolute() ? path : start_ / path).lexically_normal();
}

fs::path RowPictures::resolved(const std::string& text) const {
  const fs::path path(text);
  return (path.is_absolute() ? path : root_ / path).lexically_normal();
}

std::string RowPictures::filled_template(const std::string& text, const std::string& id) const {
  std::string filled = text;
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"{image_root}", root_.string()}, {"{split}", request_.split}, {"{id}", id}}) {
    for (std::size_t at = filled.find(key); at != std::string::npos;
         at = filled.find(key, at + value.size())) {
      filled.replace(at, key.size(), value);
    }
  }
  return filled;
}

// The template comes from the trusted configuration, ids do not: an id must not leave this folder.
fs::path RowPictures::template_folder() const {
  const std::string& text = request_.unsafe_image_template;
  return resolved(filled_template(text.substr(0, text.find("{id}")), "")).parent_path();
}

bool RowPictures::is_allowed(PathContainment& fence, const fs::path& path, const ManifestRow& row) {
  if (request_.images_outside_root || fence.holds(path)) return true;
  problem_(row, "image outside image_root",
           cat(path.string(), " is not inside ", fence.folder().string(),
               ", after following links (data.images_outside_root: true allows it)"));
  return false;
}

std::vector<fs::path> RowPictures::safe_candidates(const Json& record) const {
  std::vector<fs::path> candidates;
  if (const Json* named = find_field(record, {"safe_image"}); named != nullptr) {
    candidates.push_back(resolved_in_row(named->get<std::string>()));
  } else if (const Json* coco = find_field(record, {"coco_id"});
             coco != nullptr && (coco->is_number() || coco->is_string())) {
    for (const char* folder : {"train2017", "val2017", "test2017"})
      candidates.push_back(resolved_in_row(cat(folder, "/", coco_file(*coco))));
  } else if (const Json* url = find_field(record, {"image_coco_url"});
             url != nullptr && url->is_string()) {
    const auto text = url->get<std::string>();
    candidates.push_back(resolved_in_row(text.substr(text.find_last_of('/') + 1)));
  }
  if (const Json* file = find_field(record, kFileNames);
      file != nullptr && file->is_string() && find_field(record, {"safe_image"}) == nullptr) {
    candidates.push_back(resolved_in_row(file->get<std::string>()));
  }
  return candidates;
}

fs::path RowPictures::safe(const Json& record, const ManifestRow& row, bool& is_good) {
  if (const Json* named = find_field(record, {"safe_image"});
      named != nullptr && !named->is_string()) {
    is_good = false;
    problem_(row, "image path is not text",
             cat("safe_image is ", shortened_text(named->dump()), ", expected a path"));
    return {};
  }
  const std::vector<fs::path> candidates = safe_candidates(record);
  for (const fs::path& path : candidates) {
    if (!is_file(path)) continue;
    has_safe_ = true;
    is_good = is_allowed(fence_, path, row) && is_good;
    return path;
  }
  is_good = false;
  if (!candidates.empty()) ++absent_safe_;
  std::vector<std::string> names;
  names.reserve(candidates.size());
  for (const fs::path& path : candidates) names.push_back(path.string());
  problem_(row, names.empty() ? "missing safe_image" : "absent safe image",
           names.empty() ? "has no safe_image"
                         : cat("no such file: ", join(names, ", "), backslash_hint(names[0])));
  return {};
}

fs::path RowPictures::unsafe(const Json& record, const ManifestRow& row, bool& is_good) {
  tried_last_.clear();
  std::string text;
  if (const Json* named = find_field(record, kUnsafeImageNames); named != nullptr) {
    if (!named->is_string()) {
      is_good = false;
      problem_(row, "image path is not text",
               cat("unsafe_image is ", shortened_text(named->dump()), ", expected a path"));
      return {};
    }
    text = named->get<std::string>();
  }
  const bool is_named = !text.empty();
  if (!is_named) {
    if (request_.unsafe_image_template.empty()) return {};
    text = filled_template(request_.unsafe_image_template, row.id);
  }
  fs::path path = is_named ? resolved_in_row(text) : resolved(text);
  if (is_file(path)) {
    has_matched_ = has_matched_ || !is_named;
    is_good = is_allowed(is_named ? fence_ : template_fence_, path, row) && is_good;
    return path;
  }
  if (const std::string hint = backslash_hint(path.string()); !hint.empty()) {
    is_good = false;
    problem_(row, "image path with backslashes", cat("no such file: ", path.string(), hint));
    return {};
  }
  tried_last_ = path.string();
  if (!is_named && unmatched_++ == 0) first_unmatched_ = tried_last_;
  if (is_named) {
    ++absent_;
    if (absent_examples_.size() < kExamplesOfAbsent) absent_examples_.push_back(path.string());
  }
  return {};
}

std::string RowPictures::root_note() const {
  if (has_safe_ || absent_safe_ < 2) return "";
  return cat("none of ", with_commas(absent_safe_),
             " safe images is there; their paths start from ", root_.string(),
             " (data.image_root)");
}

std::string RowPictures::template_note() const {
  if (has_matched_ || unmatched_ == 0) return "";
  return cat("unsafe_image_template fits no file in ", with_commas(unmatched_), " rows; the first ",
             "tried: ", first_unmatched_);
}

std::string RowPictures::absent_note() const {
  if (absent_ == 0) return "";
  return cat("names ", absent_, " unsafe images that do not exist (", join(absent_examples_, ", "),
             ")");
}

}  // namespace saferclip
