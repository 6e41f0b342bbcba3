// A list is read as a manifest, so that it may have all of a manifest's columns, by the same names
// and with the same checks. `captions.*` are lists that `init` alone looks for.
#include "saferclip/run/captioned_folder.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/rng.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/data/manifest_columns.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/io/shard_paths.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::array kLists{"captions.csv", "captions.tsv", "captions.jsonl"};
constexpr std::size_t kNamedRows = 5;
constexpr std::size_t kNamedColumns = 20;

std::string in_one_line(const std::string& text) {
  std::istringstream in(text);
  std::string line;
  for (std::string word; in >> word;) line += (line.empty() ? "" : " ") + word;
  return line;
}

// The folder's list: a file, the folder itself if it is an image folder, or empty.
fs::path list_in(const fs::path& folder) {
  for (const char* list : kLists) {
    if (is_file(folder / list)) return folder / list;
  }
  return is_image_folder(folder) ? folder : fs::path();
}

// The name of a folder one level below that has a list of captions; empty: none has.
std::string listed_below(const fs::path& folder) {
  std::error_code error;
  std::set<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    for (const char* list : kLists) {
      if (is_file(entry.path() / list)) found.insert((entry.path() / list).string());
    }
  }
  return found.empty() ? "" : *found.begin();
}

class FolderReader {
 public:
  explicit FolderReader(const CaptionRequest& request)
      : request_(request), folder_(request.folder) {}

  CaptionedFolder read() {
    result_.folder = folder_;
    pictures_ = picture_files(folder_).pictures;
    const std::string shards = pictures_.empty() ? pattern_of_shards(folder_) : "";
    if (!shards.empty()) {
      throw DataError(cat(folder_.string(), ": is a folder of shards; name them: '", shards, "'"));
    }
    if (pictures_.empty()) find_images(folder_);  // throws, with what is there
    const fs::path list = list_in(folder_);
    for (const fs::path& picture : pictures_) {
      if (is_valid_utf8(picture.lexically_relative(folder_).string())) continue;
      throw DataError(cat(folder_.string(), ": an image's name is not UTF-8; rename it"));
    }
    if (list.empty()) {
      read_texts();
    } else {
      read_list(list);
    }
    for (const fs::path& picture : pictures_) {
      if (!named_.contains(picture)) without_caption_.push_back(name_of(picture));
    }
    add("images without a caption", std::move(without_caption_));
    if (result_.images.empty()) throw_no_caption();
    return std::move(result_);
  }

 private:
  std::string name_of(const fs::path& picture) const {
    return picture.lexically_relative(folder_).string();
  }

  void add(const std::string& what, std::vector<std::string> items) {
    if (!items.empty()) result_.left_out.push_back({what, std::move(items)});
  }

  void read_texts() {
    result_.captions_from = ".txt files";
    for (const fs::path& picture : pictures_) {
      const fs::path text = fs::path(picture).replace_extension(".txt");
      const std::string caption = is_file(text) ? in_one_line(read_text_file(text)) : "";
      if (caption.empty()) continue;
      named_.insert(picture);
      result_.images.push_back({picture, name_of(picture), caption});
    }
  }

  void read_list(const fs::path& list) {
    ManifestRequest reading;
    reading.file = list;
    reading.image_root = folder_;
    reading.split = request_.split;
    reading.needs_unsafe = false;
    reading.detects_unsafe = request_.reads_unsafe;
    const Manifest manifest = read_manifest(reading);
    result_.captions_from =
        manifest.file == folder_ ? "its lists of images" : manifest.file.filename().string();
    result_.has_unsafe = manifest.has_unsafe;
    result_.has_labels = manifest.has_unsafe && manifest.has_labels;
    const ManifestColumns columns = manifest_columns(list);
    for (const ManifestRow& row : manifest.rows) take(row, columns.has_ids);
    add_problems(manifest);
    if (manifest.rows.empty()) throw_no_row(manifest);
    add_warnings(manifest, columns);
  }

  void take(const ManifestRow& row, bool has_ids) {
    CaptionedImage image{row.safe_image.file, name_of(row.safe_image.file),
                         in_one_line(row.safe_caption), row};
    if (!has_ids) image.row.id.clear();
    named_.insert(row.safe_image.file);
    if (!row.unsafe_image.empty()) named_.insert(row.unsafe_image.file);
    result_.images.push_back(std::move(image));
  }

  static std::string text_of(const RowProblem& problem) {
    return cat("line ", problem.line, ": ", problem.message);
  }

  void add_problems(const Manifest& manifest) {
    std::vector<std::string> absent, bad;
    for (const RowProblem& problem : manifest.problems) {
      (problem.kind == "absent safe image" ? absent : bad).push_back(text_of(problem));
    }
    add("rows that name an image that is not there", std::move(absent));
    add("bad rows", std::move(bad));
  }

  [[noreturn]] static void throw_no_row(const Manifest& manifest) {
    std::vector<std::string> lines;
    for (const RowProblem& problem : manifest.problems) lines.push_back(text_of(problem));
    lines = shortened(lines, kNamedRows);
    lines.insert(lines.end(), manifest.notes.begin(), manifest.notes.end());
    throw DataError(join_problems(cat(manifest.file.string(), ": none of its ",
                                      with_commas(manifest.rows_read), " rows can be used:"),
                                  lines));
  }

  void add_warnings(const Manifest& manifest, const ManifestColumns& columns) {
    const std::string file = manifest.file.string();
    for (const auto* notes : {&manifest.notes, &manifest.left_out}) {
      result_.warnings.insert(result_.warnings.end(), notes->begin(), notes->end());
    }
    if (!columns.unread.empty()) {
      result_.warnings.push_back(
          cat(file, ": unused columns: ", join(shortened(columns.unread, kNamedColumns), ", "),
              "; if one holds a field of a row, rename it (docs/data.md#columns)"));
    }
    if (columns.has_unsafe && !request_.reads_unsafe) {
      result_.warnings.push_back(cat(file, ": its unsafe columns are not used: the unsafe half is ",
                                     "a folder of its own; leave --unsafe out to use them"));
    }
  }

  [[noreturn]] void throw_no_caption() const {
    const std::string below = listed_below(folder_);
    throw DataError(cat(folder_.string(), ": none of its ", pictures_.size(),
                        " images has a caption; expected NAME.txt beside NAME.jpg, or "
                        "captions.csv with the columns file_name and caption",
                        below.empty() ? "" : cat("; ", below, " lies below: name its folder")));
  }

  const CaptionRequest& request_;
  const fs::path& folder_;
  std::vector<fs::path> pictures_;
  std::set<fs::path> named_;  // that have a row
  std::vector<std::string> without_caption_;
  CaptionedFolder result_;
};

std::map<std::string, const CaptionedImage*> by_stem(const CaptionedFolder& folder) {
  std::map<std::string, const CaptionedImage*> found;
  for (const CaptionedImage& image : folder.images) {
    const std::string stem = fs::path(image.name).replace_extension().string();
    const auto [other, is_new] = found.emplace(stem, &image);
    if (is_new || other->second->name == image.name) continue;  // a further caption
    throw DataError(cat(folder.folder.string(), ": ", other->second->name, " and ", image.name,
                        " differ in their extension alone, so their partner is unknown; rename "
                        "one of them"));
  }
  return found;
}

ImagePairs pair_by_name(const CaptionedFolder& safe, const CaptionedFolder& unsafe) {
  ImagePairs result;
  const auto partners = by_stem(unsafe);
  const auto stems = by_stem(safe);
  for (const CaptionedImage& image : safe.images) {
    const auto partner = partners.find(fs::path(image.name).replace_extension().string());
    if (partner == partners.end()) {
      result.safe_alone.push_back(image.name);
    } else {
      result.pairs.push_back({image, *partner->second});
    }
  }
  for (const auto& [stem, image] : partners) {
    if (!stems.contains(stem)) result.unsafe_alone.push_back(image->name);
  }
  return result;
}

nlohmann::ordered_json json_of(const ImagePair& pair, bool has_labels, const fs::path& root) {
  const ManifestRow& row = pair.safe.row;
  nlohmann::ordered_json json{{"safe_caption", pair.safe.caption},
                              {"safe_image", pair.safe.file.lexically_relative(root).string()}};
  const bool has_partner = !pair.unsafe.name.empty();
  const std::string& caption = has_partner ? pair.unsafe.caption : row.unsafe_caption;
  const fs::path& image = has_partner ? pair.unsafe.file : row.unsafe_image.file;
  if (!caption.empty()) json["unsafe_caption"] = caption;
  if (!image.empty()) json["unsafe_image"] = image.lexically_relative(root).string();
  for (const auto& [name, value] : {std::pair("tag", &row.tag), std::pair("gallery", &row.gallery),
                                    std::pair("pair", &row.pair)}) {
    if (!value->empty()) json[name] = *value;
  }
  if (has_labels) {
    json["unsafe_caption_label"] = row.unsafe_caption_label ? 1 : 0;
    json["unsafe_image_label"] = row.unsafe_image_label ? 1 : 0;
  }
  return json;
}

}  // namespace

CaptionedFolder read_captioned_folder(const CaptionRequest& request) {
  return FolderReader(request).read();
}

ImagePairs pair_images(const CaptionedFolder& safe, const CaptionedFolder& unsafe, PairBy by) {
  if (by == PairBy::kName) return pair_by_name(safe, unsafe);
  constexpr std::uint64_t kDraw = 0;
  const auto count = static_cast<std::int64_t>(unsafe.images.size());
  std::vector<std::int64_t> order = random_permutation(count, kDraw);
  if (by == PairBy::kOrder) std::sort(order.begin(), order.end());
  ImagePairs result;
  for (std::size_t i = 0; i < std::max(safe.images.size(), order.size()); ++i) {
    const CaptionedImage* other =
        i < order.size() ? &unsafe.images[static_cast<std::size_t>(order[i])] : nullptr;
    if (i >= safe.images.size()) {
      result.unsafe_alone.push_back(other->name);
    } else if (other == nullptr) {
      result.safe_alone.push_back(safe.images[i].name);
    } else {
      result.pairs.push_back({safe.images[i], *other});
    }
  }
  return result;
}

ImagePairs one_folder(const CaptionedFolder& safe) {
  ImagePairs result;
  result.has_labels = safe.has_labels;
  for (const CaptionedImage& image : safe.images) result.pairs.push_back({image, {}});
  return result;
}

std::string manifest_of(const ImagePairs& pairs, const fs::path& root) {
  std::string lines;
  std::set<std::string> ids;
  for (const ImagePair& pair : pairs.pairs) {
    const std::string& given = pair.safe.row.id;
    std::string id = given.empty() ? pair.safe.name : given;
    for (int n = 2; !ids.insert(id).second; ++n) id = cat(pair.safe.name, "#", n);
    nlohmann::ordered_json row{{"id", id}};
    row.update(json_of(pair, pairs.has_labels, root));
    // A caption need not be UTF-8.
    lines += row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace saferclip
