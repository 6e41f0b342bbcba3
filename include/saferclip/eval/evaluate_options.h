// Options of validation and evaluation: what is measured, and on which sets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"

namespace saferclip {

// The form in which a zero-shot set names its classes.
enum class ClassForm { kTsv, kName, kNumberName, kFolderName, kPath, kJson, kFolders, kLists };
constexpr auto enum_words(ClassForm) {
  return std::to_array<EnumWord<ClassForm>>({{ClassForm::kTsv, "tsv"},
                                             {ClassForm::kName, "name"},
                                             {ClassForm::kNumberName, "number_name"},
                                             {ClassForm::kFolderName, "folder_name"},
                                             {ClassForm::kPath, "path"},
                                             {ClassForm::kJson, "json"},
                                             {ClassForm::kFolders, "folders"},
                                             {ClassForm::kLists, "lists"}});
}

// What labels a listed picture.
enum class ListLabel { kFolder, kColumn, kStem };
constexpr auto enum_words(ListLabel) {
  return std::to_array<EnumWord<ListLabel>>(
      {{ListLabel::kFolder, "folder"}, {ListLabel::kColumn, "column"}, {ListLabel::kStem, "stem"}});
}

enum class Headline { kTop1, kMeanPerClassRecall };
constexpr auto enum_words(Headline) {
  return std::to_array<EnumWord<Headline>>(
      {{Headline::kTop1, "top1"}, {Headline::kMeanPerClassRecall, "mean_per_class_recall"}});
}

// One classification set. `classes` is a file in this program's own form; `class_file`, `folder`
// and `lists` are paths inside the user's copy of a published set (see configs/zero_shot/*.yaml).
struct ZeroShotOptions {
  std::string name;
  std::string images;
  std::string classes;
  std::vector<std::string> templates{"a photo of a {}."};
  std::int64_t class_count = 0;
  ClassForm class_form = ClassForm::kTsv;
  std::string class_file;
  std::map<std::string, std::string> rename;
  std::vector<std::string> leave_out;
  bool only_present = false;
  bool folder_is_index = false;
  std::string folder;
  std::vector<std::string> lists;
  ListLabel list_label = ListLabel::kFolder;
  std::string extension;
  Headline headline = Headline::kTop1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name", "Name of the set in tables and JSON.").may_change_on_resume(), self.name);
    visit(field("images",
                "A folder with one subfolder per class; a list (CSV, JSON) of file and label; or "
                "the root of a published set, whose layout comes from `extends: "
                "configs/zero_shot/SET.yaml` in the same entry.")
              .input_path()
              .may_change_on_resume(),
          self.images);
    visit(field("classes",
                "TSV with one class per line: name, optionally followed by folder and group.")
              .input_file()
              .may_change_on_resume(),
          self.classes);
    visit(field("templates",
                "Prompts with {} for the class name, or one text file of prompts; a class's "
                "embeddings are averaged.")
              .input_file_unless("{}")
              .may_change_on_resume(),
          self.templates);
    layout_fields(self, visit);
    visit(field("headline",
                "Headline metric of the set: top1, or mean_per_class_recall, the published metric "
                "of Pets, Caltech101, Aircraft and Flowers102. Both are always measured.")
              .may_change_on_resume(),
          self.headline);
  }

 private:
  // How the user's copy of a published set is laid out.
  template <class Self, class Visit>
  static void layout_fields(Self& self, Visit& visit) {
    visit(field("class_count", "Required number of classes; 0: any.")
              .at_least(0)
              .may_change_on_resume(),
          self.class_count);
    visit(field("class_form",
                "Source of the class names: the TSV `classes` (tsv); inside `images`, a class_file "
                "with one name, number and name, folder and name, or path per line, or JSON "
                "{folder: name}; the folder names; or the labels of the lists.")
              .may_change_on_resume(),
          self.class_form);
    visit(field("class_file", "File of class names inside `images`.").may_change_on_resume(),
          self.class_file);
    visit(field("rename", "Class names that replace the set's own, by folder.")
              .may_change_on_resume(),
          self.rename);
    visit(field("leave_out", "Folders that are not classes.").may_change_on_resume(),
          self.leave_out);
    visit(field("only_present", "Use only the classes whose folder exists.").may_change_on_resume(),
          self.only_present);
    visit(field("folder_is_index", "Folders are named 0, 1, 2, … by the position of the class.")
              .may_change_on_resume(),
          self.folder_is_index);
    visit(field("folder", "Folder inside `images` that contains the image files.")
              .may_change_on_resume(),
          self.folder);
    visit(field("lists", "Files inside `images` that list the images to use; empty: all images.")
              .may_change_on_resume(),
          self.lists);
    visit(field("list_label",
                "Class of a listed image: its folder, the rest of the line (column), or the file "
                "name up to its last _ (stem).")
              .may_change_on_resume(),
          self.list_label);
    visit(field("extension", "File name extension of listed images, if the lists omit it.")
              .may_change_on_resume(),
          self.extension);
  }
};

struct RealImagesOptions {
  std::string name;
  std::string safe;
  std::string unsafe;
  std::string captions;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name", "Name of the set in tables and JSON.").may_change_on_resume(), self.name);
    visit(field("safe", "Folder of real safe images.").input_folder().may_change_on_resume(),
          self.safe);
    visit(field("unsafe", "Folder of real unsafe images.").input_folder().may_change_on_resume(),
          self.unsafe);
    visit(field("captions",
                "Text file of unsafe queries, one per line; empty: the split's unsafe captions.")
              .input_file()
              .may_change_on_resume(),
          self.captions);
  }
};

// What rows are ranked by.
enum class ScoreKind { kCosine, kLorentz };
constexpr auto enum_words(ScoreKind) {
  return std::to_array<EnumWord<ScoreKind>>(
      {{ScoreKind::kCosine, "cosine"}, {ScoreKind::kLorentz, "lorentz"}});
}

// What happens to queries that lie beyond the safe ones.
enum class Traversal { kOff, kCode, kGeodesic };
constexpr auto enum_words(Traversal) {
  return std::to_array<EnumWord<Traversal>>(
      {{Traversal::kOff, "off"}, {Traversal::kCode, "code"}, {Traversal::kGeodesic, "geodesic"}});
}

struct EvaluateOptions {
  std::int64_t every_epochs = 1;
  std::vector<std::int64_t> k{1, 5, 10, 20};
  std::vector<ZeroShotOptions> zero_shot;
  std::vector<RealImagesOptions> real_images;
  bool zero_shot_during_training = false;
  std::string prompts;
  std::int64_t bootstrap = 1000;
  std::int64_t batch_size = 64;
  std::optional<ScoreKind> score;  // none: that of the objective
  Traversal traversal = Traversal::kOff;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("every_epochs", "Validate every this many epochs; 0: never.")
              .at_least(0)
              .may_change_on_resume(),
          self.every_epochs);
    visit(field("k", "Values of K for R@K.").at_least(1).may_change_on_resume(), self.k);
    visit(field("zero_shot", "Zero-shot classification sets.").may_change_on_resume(),
          self.zero_shot);
    visit(field("zero_shot_during_training", "Also run the zero-shot sets at each validation.")
              .may_change_on_resume(),
          self.zero_shot_during_training);
    visit(
        field("prompts",
              "Text file of neutral prompts, one per line: by how much the last hidden states of "
              "the text tower change on them, which condition text-to-image models. Measured when "
              "zero-shot sets are.")
            .input_file()
            .may_change_on_resume(),
        self.prompts);
    visit(field("real_images", "Folders of real safe and unsafe images for unsafe_top1.")
              .may_change_on_resume(),
          self.real_images);
    visit(field("bootstrap", "Resamples for the 95 % intervals and the paired tests; 0: none.")
              .at_least(0)
              .at_most(100000)
              .may_change_on_resume(),
          self.bootstrap);
    visit(field("batch_size", "Images or captions per block when embedding.")
              .at_least(1)
              .may_change_on_resume(),
          self.batch_size);
    score_fields(self, visit);
  }

 private:
  // How the embeddings of objective hysac are compared.
  template <class Self, class Visit>
  static void score_fields(Self& self, Visit& visit) {
    visit(
        field("score",
              "What a model tuned with objective hysac is ranked by: lorentz (distance) or cosine; "
              "auto: lorentz. All other models are ranked by cosine.")
            .or_word("auto")
            .may_change_on_resume(),
        self.score);
    visit(field("traversal",
                "Queries farther from the origin than the boundary of the safe ones are moved back "
                "to it before they search: by their Euclidean length, as HySAC's code does (code), "
                "or along the geodesic.")
              .may_change_on_resume(),
          self.traversal);
  }
};

}  // namespace saferclip
