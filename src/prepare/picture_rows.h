// Decoding many picture files into one uint8 tensor file, interruptible at any moment: rows are
// written in place into a partial file and recorded in a journal beside it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "prepare/artefact.h"
#include "saferclip/core/log.h"
#include "saferclip/core/preprocessing.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

// One cell of the result; an empty path stays a row of zeros.
struct PictureCell {
  std::filesystem::path file;
  std::string id;  // manifest id, for messages
  int line = 0;    // manifest line
};

struct PictureJob {
  // columns[c][row]: the tensors `names[c]`, uint8 [rows, S, S, 3].
  std::vector<std::string> names;
  std::vector<std::vector<PictureCell>> columns;
  Preprocessing preprocessing;
  bool exif_rotate = false;
  std::string label;
};

// What a picture file was when it was decoded.
struct PictureRecord {
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::string sha256;
  std::string problem;  // why it could not be decoded; empty: it could
};

// Decodes everything that neither the journal in `folder` nor a relative has yet, then writes
// data.safetensors with the tensors and `valid` uint8 [rows, columns], and keeps the journal as
// files.jsonl.
void decode_pictures(const PictureJob& job, const std::filesystem::path& folder,
                     const std::vector<Relative>& relatives, Logger& log, const StopFlag* stop);

// The records of files.jsonl, one by one.
void for_each_picture_record(const std::filesystem::path& folder,
                             const std::function<void(std::size_t column, std::size_t row,
                                                      const PictureRecord& record)>& take);

// The names of an artefact's tensors of pictures, in the order of its columns.
std::vector<std::string> picture_columns(const SafetensorsFile& file);

// The records of files.jsonl, as records[column][row].
std::vector<std::vector<PictureRecord>> read_picture_records(const std::filesystem::path& folder,
                                                             std::size_t columns, std::size_t rows);

// Whether all files still hold what was decoded. A changed time alone is settled by hashing the
// file.
bool pictures_are_current(const PictureJob& job, const std::filesystem::path& folder);

struct OpenPictures {
  SafetensorsFile file;
  std::vector<std::vector<PictureRecord>> records;  // [column][row]
};
// The artefact of a job, decoded when it is not there. `source` says for people where the list came
// from.
OpenPictures open_pictures(const PictureJob& job, const std::filesystem::path& cache_dir,
                           const std::string& source, Logger& log, const StopFlag* stop);

// Size and time of a file; zeros when it cannot be read.
PictureRecord stat_picture(const std::filesystem::path& file);

}  // namespace saferclip
