// The column names are those that image folders of Hugging Face's `datasets`, open_clip's tables
// and img2dataset use.
#include "saferclip/run/captioned_folder.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::array kTables{"captions.csv", "captions.tsv", "captions.jsonl", "metadata.csv",
                             "metadata.jsonl"};
constexpr std::array kFileColumns{"file_name", "filename", "file",      "image",
                                  "path",      "filepath", "image_path"};
constexpr std::array kCaptionColumns{"caption", "text", "title", "description"};

std::string in_one_line(const std::string& text) {
  std::istringstream in(text);
  std::string line;
  for (std::string word; in >> word;) line += (line.empty() ? "" : " ") + word;
  return line;
}

std::string stem_of(const std::string& name) { return fs::path(name).replace_extension().string(); }

// The text under the first of the columns that the record has; "" if there is none.
template <std::size_t N>
std::string text_in(const nlohmann::json& record, const std::array<const char*, N>& columns) {
  for (const char* column : columns) {
    const auto found = record.find(column);
    if (found != record.end() && found->is_string()) return found->get<std::string>();
  }
  return "";
}

using Captions = std::map<std::string, std::string>;  // by the image's name

Captions captions_of_table(const fs::path& table, std::vector<std::string>& left_out) {
  Captions captions;
  std::string columns;
  for (const TextRow& row : read_text_rows(table)) {
    const auto record = nlohmann::json::parse(row.json, nullptr, false);
    const bool is_record = record.is_object();
    const std::string file = is_record ? text_in(record, kFileColumns) : "";
    const std::string caption = in_one_line(is_record ? text_in(record, kCaptionColumns) : "");
    if (file.empty() || caption.empty()) {
      left_out.push_back(
          cat(table.filename().string(), ":", row.line,
              row.problem.empty() ? ": has no file name or no caption" : cat(": ", row.problem)));
      continue;
    }
    const std::string name = fs::path(file).lexically_normal().string();
    if (!captions.emplace(name, caption).second) {
      left_out.push_back(
          cat(table.filename().string(), ":", row.line, ": a further caption of ", name));
    }
  }
  if (captions.empty()) {
    throw DataError(cat(table.string(), ": no row has a file name (",
                        join({kFileColumns.begin(), kFileColumns.end()}, ", "), ") and a caption (",
                        join({kCaptionColumns.begin(), kCaptionColumns.end()}, ", "), ")"));
  }
  return captions;
}

Captions captions_beside(const std::vector<fs::path>& pictures, const fs::path& folder) {
  Captions captions;
  for (const fs::path& picture : pictures) {
    const fs::path text = fs::path(picture).replace_extension(".txt");
    if (!is_file(text)) continue;
    const std::string caption = in_one_line(read_text_file(text));
    if (!caption.empty()) captions[picture.lexically_relative(folder).string()] = caption;
  }
  return captions;
}

std::map<std::string, const CaptionedImage*> by_stem(const CaptionedFolder& folder) {
  std::map<std::string, const CaptionedImage*> found;
  for (const CaptionedImage& image : folder.images) {
    const auto [other, is_new] = found.emplace(stem_of(image.name), &image);
    if (is_new) continue;
    throw DataError(cat(folder.folder.string(), ": ", other->second->name, " and ", image.name,
                        " differ in their extension alone, so their partner is unknown; rename "
                        "one of them"));
  }
  return found;
}

}  // namespace

CaptionedFolder read_captioned_folder(const fs::path& folder) {
  CaptionedFolder result;
  result.folder = folder;
  const PictureFiles files = find_images(folder);
  Captions captions;
  for (const char* table : kTables) {
    if (!result.captions_from.empty() || !is_file(folder / table)) continue;
    result.captions_from = table;
    captions = captions_of_table(folder / table, result.left_out);
  }
  if (result.captions_from.empty()) {
    result.captions_from = ".txt files";
    captions = captions_beside(files.pictures, folder);
  }
  for (const fs::path& picture : files.pictures) {
    const std::string name = picture.lexically_relative(folder).string();
    if (!is_valid_utf8(name)) {
      throw DataError(cat(folder.string(), ": an image's name is not UTF-8; rename it"));
    }
    const auto caption = captions.find(name);
    if (caption == captions.end()) {
      result.left_out.push_back(name + ": has no caption");
    } else {
      result.images.push_back({picture, name, caption->second});
      captions.erase(caption);
    }
  }
  for (const auto& [name, caption] : captions) result.left_out.push_back(name + ": no such image");
  if (!result.images.empty()) return result;
  throw DataError(cat(folder.string(), ": none of its ", files.pictures.size(),
                      " images has a caption; expected NAME.txt beside NAME.jpg, or captions.csv "
                      "with the columns file_name and caption"));
}

ImagePairs pair_by_stem(const CaptionedFolder& safe, const CaptionedFolder& unsafe) {
  ImagePairs result;
  auto partners = by_stem(unsafe);
  by_stem(safe);  // for its check
  for (const CaptionedImage& image : safe.images) {
    const auto partner = partners.find(stem_of(image.name));
    if (partner == partners.end()) {
      result.without_partner.push_back(image.name);
    } else {
      result.pairs.push_back({image, *partner->second});
      partners.erase(partner);
    }
  }
  for (const auto& [stem, image] : partners) result.without_partner.push_back(image->name);
  return result;
}

ImagePairs safe_alone(const CaptionedFolder& safe) {
  ImagePairs result;
  for (const CaptionedImage& image : safe.images) result.pairs.push_back({image, {}});
  return result;
}

std::string manifest_of(const ImagePairs& pairs, const fs::path& root) {
  std::string lines;
  for (const ImagePair& pair : pairs.pairs) {
    nlohmann::ordered_json row{{"id", pair.safe.name},
                               {"safe_caption", pair.safe.caption},
                               {"safe_image", pair.safe.file.lexically_relative(root).string()}};
    if (!pair.unsafe.name.empty()) {
      row["unsafe_caption"] = pair.unsafe.caption;
      row["unsafe_image"] = pair.unsafe.file.lexically_relative(root).string();
    }
    // A caption need not be UTF-8.
    lines += row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }
  return lines;
}

}  // namespace saferclip
