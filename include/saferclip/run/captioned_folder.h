// A folder of images with captions, and how two of them become the rows of a manifest.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

struct CaptionedImage {
  std::filesystem::path file;
  std::string name;  // relative to the folder: "birds/1.jpg"
  std::string caption;
  ManifestRow row = {};  // the list's other fields; an empty id: it has none
};

// What was left out, for one line: "2 rows that name no such image: a; b".
struct LeftOut {
  std::string what;
  std::vector<std::string> items;
};

struct CaptionedFolder {
  std::filesystem::path folder;
  // With a caption; in the order of the list, or sorted by name.
  std::vector<CaptionedImage> images;
  std::string captions_from;  // "captions.csv", ".txt files"
  std::vector<LeftOut> left_out;
  std::vector<std::string> warnings;
  bool has_unsafe = false;  // the list has the unsafe half
  bool has_labels = false;
};

struct CaptionRequest {
  std::filesystem::path folder;
  std::string split;         // rows of other splits are left out
  bool reads_unsafe = true;  // false: the unsafe half is a folder of its own
};

// Reads captions and all other fields of a manifest from captions.csv, captions.tsv or
// captions.jsonl in the folder, or from its metadata.csv or metadata.jsonl as data/manifest reads
// them; else captions from a .txt file beside each image. Throws DataError if no image has a
// caption, or if a file name is not UTF-8.
CaptionedFolder read_captioned_folder(const CaptionRequest& request);

struct ImagePair {
  CaptionedImage safe;
  CaptionedImage unsafe;  // empty: the row has none but the list's own
};

struct ImagePairs {
  std::vector<ImagePair> pairs;
  std::vector<std::string> safe_alone;    // names without a partner
  std::vector<std::string> unsafe_alone;  // of the other folder
  bool has_labels = false;
};

enum class PairBy { kName, kOrder, kRandom };
constexpr auto enum_words(PairBy) {
  return std::to_array<EnumWord<PairBy>>(
      {{PairBy::kName, "name"}, {PairBy::kOrder, "order"}, {PairBy::kRandom, "random"}});
}

// By name: images whose names are equal up to the extension ("a/1.jpg", "a/1.png"); throws
// DataError if two images of one folder differ in the extension alone. By order: the first with the
// first. At random: the same draw each time. The longer side's rest has no partner.
ImagePairs pair_images(const CaptionedFolder& safe, const CaptionedFolder& unsafe, PairBy by);

// Each image as a row of its own, with the unsafe half of its list, if any.
ImagePairs one_folder(const CaptionedFolder& safe);

// The manifest as JSON lines, with image paths relative to `root`, which contains them.
std::string manifest_of(const ImagePairs& pairs, const std::filesystem::path& root);

}  // namespace saferclip
