// The list of quadruplets: safe caption and picture, unsafe caption and picture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/data/data_options.h"
#include "saferclip/io/stored_picture.h"

namespace saferclip {

struct ManifestRow {
  std::string id;
  std::string safe_caption;
  std::string unsafe_caption;
  StoredPicture safe_image;
  StoredPicture unsafe_image;  // empty: the row has none
  std::string tag;
  std::string gallery;
  bool unsafe_caption_label = true;  // whether it is labeled unsafe
  bool unsafe_image_label = true;
  std::string pair;  // rows of one unsafe concept; intervals resample them together
  int line = 0;
  int record = 0;  // identifies the row: its line, or in a JSON document the record's number from 1
};

struct RowProblem {
  std::string id;
  int line = 0;
  std::string kind;  // "duplicate id", "empty caption", …
  std::string message;
  int record = 0;  // ManifestRow::record

  int row() const { return record > 0 ? record : line; }
};

struct Manifest {
  std::filesystem::path file;     // of an image folder its only list, if any; or shards' pattern
  std::vector<ManifestRow> rows;  // well-formed, in file order
  std::vector<RowProblem> problems;
  std::vector<std::string> notes;     // normalized tags and the like, with counts
  std::vector<std::string> left_out;  // left out on purpose: rows of other splits
  std::int64_t rows_read = 0;  // records of the split, each counted once however many captions
  bool has_unsafe = false;     // whether the unsafe half was read
  bool has_labels = false;     // whether any record has a label of its unsafe half
  std::int64_t rows_without_unsafe_image = 0;
};

struct ManifestRequest {
  std::filesystem::path file;  // or an image folder, which is then the image root too, or shards
  std::string split;  // fills {split}; rows whose own `split` says otherwise are left out. Case
                      // does not matter; val, valid, dev and validation are one
  std::filesystem::path image_root;  // default: the manifest's folder
  std::string unsafe_image_template;
  bool needs_unsafe = true;  // false for objective clip, which needs the safe half alone
  // Overrides needs_unsafe: the unsafe half is needed if any row has an unsafe caption.
  bool detects_unsafe = false;
  MissingUnsafeImage missing_unsafe_image = MissingUnsafeImage::kTextOnly;
  bool images_outside_root = false;           // false: such an image makes its row bad
  std::string class_caption = kClassCaption;  // {}: the class, if the rows are class folders'
};

// Reads the formats of io/text_rows, an image folder's metadata in one of them, class folders,
// which have safe pairs and a tag alone, or the records of tar shards (`file` may be a pattern,
// io/shard_paths), with the fields id, safe_caption, safe_image, unsafe_caption, unsafe_image, tag,
// split, gallery, pair, unsafe_caption_label, unsafe_image_label, or ViSU's, NSFWCaps' and image
// folders' names for them. A list as `safe_caption` becomes one row per caption, id#0, id#1, …,
// with the other fields shared; `unsafe_caption` may then be a list of the same length. Collects
// every problem of a row; throws DataError when the file cannot be read, when a required field is
// in no row, and when no row is left.
Manifest read_manifest(const ManifestRequest& request);

}  // namespace saferclip
