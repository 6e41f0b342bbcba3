#include "saferclip/data/manifest.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::size_t kExamples = 5;

struct FieldProblem {
  std::string kind;
  std::string message;
};

std::string trimmed_lower(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  std::string result = text.substr(first, text.find_last_not_of(" \t") - first + 1);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return result;
}

class Reader {
 public:
  explicit Reader(const ManifestRequest& request) : request_(request) {
    root_ = request.image_root.empty() ? request.file.parent_path() : request.image_root;
    manifest_.file = request.file;
  }

  Manifest read() {
    for (const TextRow& row : read_text_rows(request_.file)) read_row(row);
    if (manifest_.rows.empty() && manifest_.problems.empty()) {
      throw DataError(cat(request_.file.string(), ": holds no rows",
                          manifest_.rows_read > 0 ? " of split " + request_.split : ""));
    }
    for (const auto& [what, count] : tag_changes_) {
      manifest_.notes.push_back(
          cat(request_.file.string(), ": tag ", what, " in ", count, " rows"));
    }
    if (absent_unsafe_ > 0) {
      manifest_.notes.push_back(cat(request_.file.string(), ": ", absent_unsafe_,
                                    " named unsafe images do not exist (",
                                    join(absent_examples_, ", "), ")"));
    }
    if (skipped_ > 0) {
      manifest_.notes.push_back(
          cat(request_.file.string(), ": ", skipped_,
              " rows without an unsafe image left out (missing_unsafe_image: skip)"));
    }
    return std::move(manifest_);
  }

 private:
  void problem(const ManifestRow& row, const std::string& kind, const std::string& message) {
    manifest_.problems.push_back({row.id, row.line, kind, message});
  }

  // The first of several names that the record has.
  static const Json* find(const Json& json, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      const auto found = json.find(name);
      if (found != json.end() && !found->is_null()) return &*found;
    }
    return nullptr;
  }

  // A caption, or the reason why it is none.
  std::string caption(const Json& json, std::initializer_list<const char*> names, ManifestRow& row,
                      bool& is_good) {
    const Json* value = find(json, names);
    const std::string name = *names.begin();
    if (value == nullptr) {
      problem(row, "missing " + name, cat("has no ", name));
    } else if (!value->is_string()) {
      problem(row, "caption is not text", cat(name, " is ", value->dump(), ", expected text"));
    } else if (value->get<std::string>().find_first_not_of(" \t\r\n") == std::string::npos) {
      problem(row, "empty caption", cat(name, " is empty"));
    } else {
      return value->get<std::string>();
    }
    is_good = false;
    return "";
  }

  fs::path resolved(const std::string& text) const {
    const fs::path path(text);
    return (path.is_absolute() ? path : root_ / path).lexically_normal();
  }

  fs::path safe_image(const Json& json, ManifestRow& row, bool& is_good) {
    std::vector<fs::path> tried;
    if (const Json* named = find(json, {"safe_image"}); named != nullptr && named->is_string()) {
      tried.push_back(resolved(named->get<std::string>()));
    } else if (const Json* coco = find(json, {"coco_id"});
               coco != nullptr && (coco->is_number_integer() || coco->is_string())) {
      std::string id =
          coco->is_string() ? coco->get<std::string>() : std::to_string(coco->get<std::int64_t>());
      if (id.size() < 12) id.insert(0, 12 - id.size(), '0');
      for (const char* folder : {"train2017", "val2017", "test2017"})
        tried.push_back(resolved(cat(folder, "/", id, ".jpg")));
    } else if (const Json* url = find(json, {"image_coco_url"});
               url != nullptr && url->is_string()) {
      const auto text = url->get<std::string>();
      tried.push_back(resolved(text.substr(text.find_last_of('/') + 1)));
    }
    for (const fs::path& path : tried) {
      if (is_file(path)) return path;
    }
    is_good = false;
    std::vector<std::string> names;
    for (const fs::path& path : tried) names.push_back(path.string());
    problem(row, tried.empty() ? "missing safe_image" : "absent safe image",
            tried.empty() ? "has no safe_image" : cat("no such file: ", join(names, ", ")));
    return {};
  }

  fs::path unsafe_image(const Json& json, const ManifestRow& row) {
    std::string text;
    if (const Json* named = find(json, {"unsafe_image", "nsfw_im_path"});
        named != nullptr && named->is_string()) {
      text = named->get<std::string>();
    }
    const bool is_named = !text.empty();
    if (!is_named) {
      if (request_.unsafe_image_template.empty()) return {};
      text = request_.unsafe_image_template;
      for (const auto& [key, value] : std::map<std::string, std::string>{
               {"{image_root}", root_.string()}, {"{split}", request_.split}, {"{id}", row.id}}) {
        for (std::size_t at = text.find(key); at != std::string::npos;
             at = text.find(key, at + value.size())) {
          text.replace(at, key.size(), value);
        }
      }
    }
    const fs::path path = resolved(text);
    if (is_file(path)) return path;
    if (is_named) {
      ++absent_unsafe_;
      if (absent_examples_.size() < kExamples) absent_examples_.push_back(path.string());
    }
    return {};
  }

  std::string tag(const Json& json) {
    const Json* value = find(json, {"tag", "chosen_category"});
    if (value == nullptr || !value->is_string()) return "";
    const auto written = value->get<std::string>();
    std::string tag = trimmed_lower(written);
    // Spellings that stand in the published ViSU files.
    if (tag == "bodily bluids") tag = "bodily fluids";
    if (tag == "abuse") tag = "child abuse";
    if (tag != written) ++tag_changes_[cat("\"", written, "\" read as \"", tag, "\"")];
    return tag;
  }

  static std::string label(const Json& json, const char* name) {
    const Json* value = find(json, {name});
    if (value == nullptr) return "";
    return value->is_string() ? value->get<std::string>() : value->dump();
  }

  bool belongs(const Json& json) const {
    const Json* split = find(json, {"split"});
    return split == nullptr || !split->is_string() || request_.split.empty() ||
           split->get<std::string>() == request_.split;
  }

  static std::string id_of(const Json& json, int line) {
    const Json* id = find(json, {"id", "incremental_id"});
    if (id == nullptr) return std::to_string(line);
    return id->is_string() ? id->get<std::string>() : id->dump();
  }

  void read_row(const TextRow& text) {
    ++manifest_.rows_read;
    ManifestRow row;
    row.line = text.line;
    if (!text.problem.empty()) return problem(row, "unreadable row", text.problem);
    const Json json = Json::parse(text.json);
    if (!json.is_object())
      return problem(row, "unreadable row", cat("is not an object: ", text.json.substr(0, 60)));
    if (!belongs(json)) return;
    row.id = id_of(json, text.line);
    const auto [first, is_new] = first_lines_.emplace(row.id, text.line);
    bool is_good = is_new;
    if (!is_new)
      problem(row, "duplicate id",
              cat("id ", row.id, " stands on line ", first->second, " already"));
    row.safe_caption = caption(json, {"safe_caption", "safe", "caption"}, row, is_good);
    const auto unsafe_names = {"unsafe_caption", "nsfw", "nsfw_caption"};
    if (request_.needs_unsafe || find(json, unsafe_names) != nullptr) {
      bool is_unsafe_good = true;
      row.unsafe_caption = caption(json, unsafe_names, row, is_unsafe_good);
      is_good = is_good && is_unsafe_good;
    }
    row.safe_image = safe_image(json, row, is_good);
    row.unsafe_image = unsafe_image(json, row);
    row.tag = tag(json);
    row.gallery = label(json, "gallery");
    row.pair = label(json, "pair");
    if (is_good) accept(std::move(row));
  }

  void accept(ManifestRow row) {
    if (request_.needs_unsafe && row.unsafe_image.empty()) {
      if (request_.missing_unsafe_image == "skip") {
        ++skipped_;
        return;
      }
      if (request_.missing_unsafe_image == "error") {
        return problem(row, "missing unsafe image",
                       "has no unsafe image (missing_unsafe_image: error)");
      }
      ++manifest_.rows_without_unsafe_image;
    }
    manifest_.rows.push_back(std::move(row));
  }

  const ManifestRequest& request_;
  fs::path root_;
  Manifest manifest_;
  std::map<std::string, int> first_lines_;
  std::map<std::string, int> tag_changes_;
  std::int64_t absent_unsafe_ = 0;
  std::vector<std::string> absent_examples_;
  std::int64_t skipped_ = 0;
};

}  // namespace

Manifest read_manifest(const ManifestRequest& request) { return Reader(request).read(); }

void require_acceptable(const Manifest& manifest, const std::vector<RowProblem>& extra,
                        const DataOptions& options, Logger& log) {
  std::vector<RowProblem> problems = manifest.problems;
  problems.insert(problems.end(), extra.begin(), extra.end());
  if (problems.empty()) return;
  std::map<std::string, std::vector<std::string>> by_kind;
  for (const RowProblem& p : problems) {
    by_kind[p.kind].push_back(cat(manifest.file.string(), ":", p.line,
                                  p.id.empty() ? "" : " (id " + p.id + ")", ": ", p.message));
  }
  const bool lists_all = options.bad_rows == "error";
  std::vector<std::string> lines;
  for (const auto& [kind, messages] : by_kind) {
    lines.push_back(cat(kind, ": ", messages.size(), messages.size() == 1 ? " row" : " rows"));
    const std::size_t shown = lists_all ? messages.size() : std::min(messages.size(), kExamples);
    for (std::size_t i = 0; i < shown; ++i) lines.push_back("  " + messages[i]);
  }
  const double fraction = static_cast<double>(problems.size()) /
                          static_cast<double>(std::max<std::int64_t>(1, manifest.rows_read));
  const std::string head = cat(problems.size(), " of ", manifest.rows_read, " rows are bad:");
  if (lists_all) {
    throw DataError(join_problems(head, lines) + "\ncorrect them, or set data.bad_rows: skip");
  }
  if (fraction > options.max_bad_fraction) {
    throw DataError(join_problems(head, lines) + cat("\nthat is more than data.max_bad_fraction (",
                                                     options.max_bad_fraction, ")"));
  }
  log.warn(join_problems(head + " they are skipped", lines));
}

}  // namespace saferclip
