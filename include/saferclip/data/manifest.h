// The list of quadruplets: safe caption and picture, unsafe caption and picture.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct ManifestRow {
  std::string id;
  std::string safe_caption;
  std::string unsafe_caption;
  std::filesystem::path safe_image;
  std::filesystem::path unsafe_image;  // empty: the row has none
  std::string tag;
  std::string gallery;
  std::string pair;  // rows of one unsafe concept; intervals resample them together
  int line = 0;
  int record = 0;  // tells rows apart: the line; in JSON documents the record's number, from 1
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
  std::filesystem::path file;
  std::vector<ManifestRow> rows;  // well-formed, in the order of the file
  std::vector<RowProblem> problems;
  std::vector<std::string> notes;     // normalised tags and the like, with counts
  std::vector<std::string> left_out;  // rows that are meant to be: those of other splits
  std::int64_t rows_read = 0;         // records of the split; one with several captions counts once
  bool has_unsafe = false;            // whether the unsafe half was read
  std::int64_t rows_without_unsafe_image = 0;
};

struct ManifestRequest {
  std::filesystem::path file;
  std::string split;  // fills {split}; rows whose own `split` says otherwise are left out. Case
                      // does not matter; val, valid, dev and validation are one
  std::filesystem::path image_root;  // default: the manifest's folder
  std::string unsafe_image_template;
  bool needs_unsafe = true;  // objective clip: the safe half is enough
  // Instead: the unsafe half is needed when any row has an unsafe caption.
  bool detects_unsafe = false;
  std::string missing_unsafe_image = "text_only";
  bool images_outside_root = false;  // false: such an image makes its row bad
};

// A `safe_caption` that is a list becomes as many rows, id#0, id#1, …, which share the rest; an
// `unsafe_caption` may then be a list of that length.
// Reads what io/text_rows reads with the fields id, safe_caption, safe_image, unsafe_caption,
// unsafe_image, tag, split, gallery, pair, or ViSU's and NSFWCaps' names for them. Collects every
// problem; throws DataError when the file itself cannot be read, when a field that is needed stands
// in no row, and when no row is left.
Manifest read_manifest(const ManifestRequest& request);

}  // namespace saferclip
