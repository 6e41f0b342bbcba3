// The names of a manifest's fields, and the messages for a file that uses others.
#pragma once

#include <initializer_list>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/label_words.h"

namespace saferclip {

// Ours first, then those of the published ViSU and NSFWCaps files, then those of Hugging Face's
// image folders and of open_clip's and img2dataset's tables. `init` reads lists by them too.
using FieldNames = std::initializer_list<const char*>;
inline constexpr FieldNames kIdNames{"id", "incremental_id"};
inline constexpr FieldNames kSafeCaptionNames{"safe_caption", "safe",  "caption",
                                              "text",         "title", "description"};
inline constexpr FieldNames kUnsafeCaptionNames{"unsafe_caption", "nsfw", "nsfw_caption"};
inline constexpr FieldNames kSafeImageNames{
    "safe_image", "coco_id",    "image_coco_url", "file_name", "safe_image_file_name",
    "filename",   "image_path", "filepath",       "file",      "image",
    "path"};
inline constexpr FieldNames kFileNames{
    "file_name", "safe_image_file_name", "filename", "image_path", "filepath", "file", "image",
    "path"};
inline constexpr FieldNames kUnsafeImageNames{"unsafe_image", "nsfw_im_path",
                                              "unsafe_image_file_name"};
inline constexpr FieldNames kTagNames{"tag", "chosen_category"};
inline constexpr FieldNames kSplitNames{"split"};
inline constexpr FieldNames kGalleryNames{"gallery"};
inline constexpr FieldNames kPairNames{"pair"};
inline constexpr FieldNames kUnsafeCaptionLabelNames{"unsafe_caption_label"};
inline constexpr FieldNames kUnsafeImageLabelNames{"unsafe_image_label"};

// The value of the first of these names that has one; null: none has.
const nlohmann::json* find_field(const nlohmann::json& record, FieldNames names);

// A label as text: a string as it is, other values as JSON; "" when absent.
std::string label_text(const nlohmann::json& record, FieldNames names);
// Whether a field says 1 and not 0, as a number or as a table's text; absent: 1. Another value
// gives a message and nullopt.
std::optional<bool> zero_or_one(const nlohmann::json& record, FieldNames names,
                                std::string& message);
// A number as a person writes it: integers without a decimal point, also when a string says "42.0".
std::string text_of_number(const nlohmann::json& value);

// "safe_caption is "a", caption is "b"; …" when a record has two values for one field; else "".
std::string field_conflict(const nlohmann::json& record);

// The field names used in one file.
class SeenFields {
 public:
  void see(const std::vector<std::string>& columns);
  void see(const nlohmann::json& record);

  bool has_any(FieldNames names) const;
  // Why no row can be good: a required field is in no record under any name; "" when none is
  // missing.
  std::string missing(bool needs_unsafe) const;
  // The names that are not read, in file order.
  std::vector<std::string> unread() const;
  // One line for each unread name that is close to one that is read.
  std::vector<std::string> likely_mistakes() const;
  // One line for each unread column that says which rows are safe, if no row has an unsafe caption.
  std::vector<std::string> label_columns() const;

 private:
  std::vector<std::string> in_order_;
  std::map<std::string, ColumnValues> values_;
};

}  // namespace saferclip
