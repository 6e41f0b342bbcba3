// Where the data is, and what to do with incomplete or bad rows.
#pragma once

#include <map>
#include <string>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"

namespace saferclip {

// A named evaluation split. A path alone means `file`.
struct EvaluationSplitOptions {
  static constexpr const char* kShorthand = "file";
  std::string file;
  std::string image_root;
  std::string unsafe_image_template;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("file", "Its manifest.").input_file().free(), self.file);
    visit(field("image_root", "Instead of data.image_root; empty: that one.").input_folder().free(),
          self.image_root);
    visit(field("unsafe_image_template", "Instead of data.unsafe_image_template; empty: that one.")
              .free(),
          self.unsafe_image_template);
  }
};

// What becomes of a row without its unsafe image.
enum class MissingUnsafeImage { kTextOnly, kSkip, kError };
constexpr auto enum_words(MissingUnsafeImage) {
  return std::to_array<EnumWord<MissingUnsafeImage>>({{MissingUnsafeImage::kTextOnly, "text_only"},
                                                      {MissingUnsafeImage::kSkip, "skip"},
                                                      {MissingUnsafeImage::kError, "error"}});
}

enum class BadRowPolicy { kError, kSkip };
constexpr auto enum_words(BadRowPolicy) {
  return std::to_array<EnumWord<BadRowPolicy>>({{BadRowPolicy::kError, "error"}, {BadRowPolicy::kSkip, "skip"}});
}

enum class Augmentation { kNone, kCrop };
constexpr auto enum_words(Augmentation) {
  return std::to_array<EnumWord<Augmentation>>(
      {{Augmentation::kNone, "none"}, {Augmentation::kCrop, "crop"}});
}

struct DataOptions {
  std::string train;
  std::string validation;
  std::map<std::string, EvaluationSplitOptions> evaluation;
  std::string image_root;
  bool images_outside_root = false;
  std::string unsafe_image_template;
  MissingUnsafeImage missing_unsafe_image = MissingUnsafeImage::kTextOnly;
  BadRowPolicy bad_rows = BadRowPolicy::kError;
  double max_bad_fraction = 0.01;
  std::string cache_dir = "cache";
  bool exif_rotate = false;
  Augmentation augment = Augmentation::kNone;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("train", "Manifest of the training rows (JSONL, JSON or CSV).").input_file().free(),
          self.train);
    visit(field("validation", "Manifest for validation during training; none when empty.")
              .input_file()
              .free(),
          self.validation);
    visit(field("evaluation",
                "Further named manifests for `evaluate --split NAME`: NAME: a path, or NAME: "
                "{file, image_root, unsafe_image_template} where its pictures lie elsewhere.")
              .free(),
          self.evaluation);
    visit(field("image_root",
                "Folder that relative image paths of a manifest start from; "
                "default: the manifest's folder.")
              .input_folder()
              .free(),
          self.image_root);
    visit(field("images_outside_root",
                "Let a manifest name images outside image_root: absolute paths, .. and links that "
                "lead out. Otherwise such rows are bad.")
              .free(),
          self.images_outside_root);
    visit(
        field("unsafe_image_template",
              "Path of a row's unsafe image when the manifest has none; {image_root}, {split} and "
              "{id} are filled in.")
            .home_path(),
        self.unsafe_image_template);
    visit(field("missing_unsafe_image",
                "A row without its unsafe image: keep its text terms, leave the row out, or stop."),
          self.missing_unsafe_image);
    visit(field("bad_rows",
                "Stop at bad rows, or skip them. Either way all are listed in "
                "cache_dir/bad_rows.<split>.json."),
          self.bad_rows);
    visit(field("max_bad_fraction", "With bad_rows: skip, stop when more than this share is bad.")
              .at_least(0)
              .at_most(1),
          self.max_bad_fraction);
    visit(field("cache_dir", "Folder of the prepared caches.").output_path().free(),
          self.cache_dir);
    visit(field("exif_rotate", "Apply the EXIF orientation (Pillow and CLIP's clients do not)."),
          self.exif_rotate);
    visit(field("augment",
                "crop: each step trains on a random crop of each safe and unsafe picture (area 0.9 "
                "to 1, sides 3/4 to 4/3), not of anchors. It costs a forward of the frozen "
                "reference a step, which stays in memory. Validation and evaluation see whole "
                "pictures."),
          self.augment);
  }
};

}  // namespace saferclip
