// Decodes many picture files into one uint8 tensor file and can be interrupted at any moment: rows
// are written in place into a partial file and recorded in a journal beside it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "prepare/artifact.h"
#include "saferclip/core/log.h"
#include "saferclip/core/preprocessing.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

// One cell of the result; an empty path gives a row of zeros.
struct PictureCell {
  StoredPicture file;
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
  int threads = 1;
};

// The state of a picture file when it was decoded.
struct PictureRecord {
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::string sha256;
  std::string problem;  // why it could not be decoded; empty: decoded
};

// Decodes every picture that neither the journal in `folder` nor a relative holds. Writes
// data.safetensors with the tensors and `valid` uint8 [rows, columns], and the records as
// files.jsonl.
void decode_pictures(const PictureJob& job, const std::filesystem::path& folder,
                     const std::vector<Relative>& relatives, Logger& log, const StopFlag* stop);

// The records of files.jsonl, one by one.
void for_each_picture_record(const std::filesystem::path& folder,
                             const std::function<void(std::size_t column, std::size_t row,
                                                      const PictureRecord& record)>& take);

// The names of an artifact's picture tensors, in column order.
std::vector<std::string> picture_columns(const SafetensorsFile& file);

// The records of files.jsonl, as records[column][row].
std::vector<std::vector<PictureRecord>> read_picture_records(const std::filesystem::path& folder,
                                                             std::size_t columns, std::size_t rows);

// Whether all files still hold what was decoded. If only the time changed, the file's hash decides.
bool pictures_are_current(const PictureJob& job, const std::filesystem::path& folder);

struct OpenPictures {
  SafetensorsFile file;
  std::vector<std::vector<PictureRecord>> records;  // [column][row]
};
// Opens the artifact of a job, decoding it if needed. `source`: where the list came from, for
// people.
OpenPictures open_pictures(const PictureJob& job, const std::filesystem::path& cache_dir,
                           const std::string& source, const Builders& builders, Logger& log,
                           const StopFlag* stop);

// Size, and modification time of its file; zeros when stat fails.
PictureRecord stat_picture(const StoredPicture& picture);

}  // namespace saferclip
