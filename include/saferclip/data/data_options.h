// Where the data is, and what to do with incomplete or bad rows.
#pragma once

#include <map>
#include <string>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"

namespace saferclip {

inline constexpr const char* kClassCaption = "a photo of a {}";

// A named evaluation split. A path alone means `file`.
struct EvaluationSplitOptions {
  static constexpr const char* kShorthand = "file";
  std::string file;
  std::string image_root;
  std::string unsafe_image_template;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("file", "Manifest, image folder or shards of the split.")
              .input_path()
              .may_change_on_resume(),
          self.file);
    visit(field("image_root", "Replaces data.image_root; empty: data.image_root.")
              .input_folder()
              .may_change_on_resume(),
          self.image_root);
    visit(field("unsafe_image_template",
                "Replaces data.unsafe_image_template; empty: data.unsafe_image_template.")
              .may_change_on_resume(),
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
  return std::to_array<EnumWord<BadRowPolicy>>(
      {{BadRowPolicy::kError, "error"}, {BadRowPolicy::kSkip, "skip"}});
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
  std::string class_caption = kClassCaption;
  std::string image_root;
  bool images_outside_root = false;
  std::string unsafe_image_template;
  MissingUnsafeImage missing_unsafe_image = MissingUnsafeImage::kTextOnly;
  BadRowPolicy bad_rows = BadRowPolicy::kError;
  double max_bad_fraction = 0.01;
  std::string cache_dir = "cache";
  bool exif_rotate = false;
  bool reference_tf32 = false;
  Augmentation augment = Augmentation::kNone;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(
        field("train",
              "Manifest of the training rows (JSONL, JSON or CSV), an image folder with "
              "metadata.jsonl or metadata.csv, a folder of one folder of images per class, or tar "
              "shards: shards/{00000..00042}.tar.")
            .input_path()
            .may_change_on_resume(),
        self.train);
    visit(field("validation",
                "Manifest, image folder or shards for validation during training; empty: none.")
              .input_path()
              .may_change_on_resume(),
          self.validation);
    visit(field("evaluation",
                "More named manifests for `evaluate --split NAME`: NAME: a path, or NAME: {file, "
                "image_root, unsafe_image_template} if its images are elsewhere.")
              .may_change_on_resume(),
          self.evaluation);
    visit(field("class_caption",
                "Caption of images in class folders; {} is the folder's name with _ and - as "
                "blanks."),
          self.class_caption);
    visit(field("image_root",
                "Folder that a manifest's relative image paths start from; default: the manifest's "
                "folder. Of an image folder they start from the folder itself.")
              .input_folder()
              .may_change_on_resume(),
          self.image_root);
    visit(field("images_outside_root",
                "Allow images outside image_root: absolute paths, .. and links that lead out. "
                "Otherwise such rows are bad.")
              .may_change_on_resume(),
          self.images_outside_root);
    row_fields(self, visit);
  }

 private:
  // What becomes of a row's pictures, and of rows that are bad.
  template <class Self, class Visit>
  static void row_fields(Self& self, Visit& visit) {
    visit(field("unsafe_image_template",
                "Path of a row's unsafe image if the manifest gives none; {image_root}, {split} "
                "and {id} are replaced.")
              .home_path(),
          self.unsafe_image_template);
    visit(
        field(
            "missing_unsafe_image",
            "For a row without an unsafe image: train its text terms only, skip the row, or stop."),
        self.missing_unsafe_image);
    visit(field("bad_rows",
                "Stop at bad rows, or skip them. Either way cache_dir/bad_rows.<split>.json lists "
                "them all."),
          self.bad_rows);
    visit(field("max_bad_fraction", "With bad_rows: skip, stop if more than this fraction is bad.")
              .at_least(0)
              .at_most(1),
          self.max_bad_fraction);
    visit(field("cache_dir", "Folder of the prepared caches.").output_path().may_change_on_resume(),
          self.cache_dir);
    visit(field("exif_rotate", "Apply the EXIF orientation (Pillow and CLIP's clients do not)."),
          self.exif_rotate);
    visit(field("reference_tf32",
                "Embed the cached rows of the frozen reference in TF32 (CUDA cards of compute "
                "capability 8.0 or more): faster, less exact."),
          self.reference_tf32);
    visit(field("augment",
                "crop: each step trains on a random crop of each safe and unsafe image (area 0.9 "
                "to 1, aspect ratio 3/4 to 4/3), not of anchors. It costs one forward pass of the "
                "frozen reference per step, which stays in memory. Validation and evaluation use "
                "whole images."),
          self.augment);
  }
};

}  // namespace saferclip
