// Which names a manifest's fields go by, and what to say when a file has others.
#pragma once

#include <initializer_list>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace saferclip {

// Ours first, then those of the published ViSU and NSFWCaps files.
using FieldNames = std::initializer_list<const char*>;
inline constexpr FieldNames kIdNames{"id", "incremental_id"};
inline constexpr FieldNames kSafeCaptionNames{"safe_caption", "safe", "caption"};
inline constexpr FieldNames kUnsafeCaptionNames{"unsafe_caption", "nsfw", "nsfw_caption"};
inline constexpr FieldNames kSafeImageNames{"safe_image", "coco_id", "image_coco_url"};
inline constexpr FieldNames kUnsafeImageNames{"unsafe_image", "nsfw_im_path"};
inline constexpr FieldNames kTagNames{"tag", "chosen_category"};
inline constexpr FieldNames kSplitNames{"split"};
inline constexpr FieldNames kGalleryNames{"gallery"};
inline constexpr FieldNames kPairNames{"pair"};

// The first of several names that the record has a value for; null: none.
const nlohmann::json* find_field(const nlohmann::json& record, FieldNames names);

// A number as a person writes it: one of whole value without its point, "42.0" in a text too.
std::string text_of_number(const nlohmann::json& value);

// "safe_caption is "a", caption is "b"; …" when a record has two values for one field; else "".
std::string field_conflict(const nlohmann::json& record);

// The names that the records of one file use.
class SeenFields {
 public:
  void see(const std::vector<std::string>& columns);
  void see(const nlohmann::json& record);

  // Why no row can be good: a field that is needed goes by none of its names in any record; "" when
  // each is somewhere.
  std::string missing(bool needs_unsafe) const;
  // The names that are not read, sorted.
  std::vector<std::string> unread() const;
  // One line for each name that is nearly one that would be read.
  std::vector<std::string> likely_mistakes() const;

 private:
  bool has_any(FieldNames names) const;

  std::vector<std::string> in_order_;
  std::map<std::string, int> count_;
};

}  // namespace saferclip
