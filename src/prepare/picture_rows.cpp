// The partial file is the final safetensors file from the start, each row at its final offset. Rows
// are flushed to disk before the journal names them: after a crash it never vouches for a row that
// is missing, and the next build decodes only what it does not name. The end is a rename, with the
// records kept as files.jsonl. A picture that cannot be decoded leaves a row of zeros and a problem
// in its record. Cells are decoded in parallel, chunk by chunk, and written by one thread.
#include "prepare/picture_rows.h"

#include <ATen/ATen.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "prepare/artifact.h"
#include "prepare/decoded_pictures.h"
#include "prepare/partial_pictures.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/workers.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr const char* kPartial = ".data.partial";
constexpr const char* kJournal = ".journal.jsonl";
constexpr const char* kRecords = "files.jsonl";
constexpr std::int64_t kChunk = 64;  // cells decoded at a time
constexpr std::size_t kChunksPerFlush = 4;

// Sets `is_known` when another artifact already had the pixels.
PictureRecord decode_cell(const PictureCell& cell, const PictureJob& job,
                          const DecodedPictures& known, std::uint8_t* target, bool& is_known) {
  PictureRecord record = stat_picture(cell.file);
  try {
    const std::string bytes = read_stored(cell.file, kMaxPictureBytes);
    record.sha256 = sha256_hex(bytes);
    const std::uint8_t* pixels = known.find(record.sha256);
    is_known = pixels != nullptr;
    if (is_known) {
      const auto side = static_cast<std::size_t>(job.preprocessing.image_size);
      std::copy_n(pixels, side * side * 3, target);
      return record;
    }
    DecodeOptions options;
    options.exif_rotate = job.exif_rotate;
    const Image image = decode_preprocessed(bytes, cell.file.name(), job.preprocessing, options);
    std::copy(image.pixels.begin(), image.pixels.end(), target);
  } catch (const DataError& problem) {
    record.problem = problem.what();
  }
  return record;
}

Json to_json(const PicturePosition& cell, const PictureRecord& record) {
  Json json{{"column", cell.column},
            {"row", cell.row},
            {"size", record.size},
            {"mtime", record.mtime_ns},
            {"sha256", record.sha256}};
  if (!record.problem.empty()) json["problem"] = record.problem;
  return json;
}

using TakeRecord = std::function<void(std::size_t, std::size_t, const PictureRecord&)>;

// The entries of a journal; a last line cut short by a crash is dropped.
void for_each_record(const fs::path& file, const TakeRecord& take) {
  if (!is_file(file)) return;
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::istringstream in(read_file(file));
  for (std::string line; std::getline(in, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() || !json.is_object()) continue;
    take(json.value("column", kNone), json.value("row", kNone),
         {json.value("size", std::uint64_t{0}), json.value("mtime", std::int64_t{0}),
          json.value("sha256", std::string()), json.value("problem", std::string())});
  }
}

std::vector<std::vector<PictureRecord>> read_records(const fs::path& file, std::size_t columns,
                                                     std::size_t rows) {
  std::vector<std::vector<PictureRecord>> records(columns, std::vector<PictureRecord>(rows));
  for_each_record(file, [&](std::size_t column, std::size_t row, const PictureRecord& record) {
    if (column < columns && row < rows) records[column][row] = record;
  });
  return records;
}

// Cells still to decode: not in the journal, or changed since.
std::vector<PicturePosition> open_cells(const PictureJob& job,
                                        const std::vector<std::vector<PictureRecord>>& done) {
  std::vector<PicturePosition> cells;
  for (std::size_t column = 0; column < job.columns.size(); ++column) {
    for (std::size_t row = 0; row < job.columns[column].size(); ++row) {
      const StoredPicture& file = job.columns[column][row].file;
      if (file.empty()) continue;
      const PictureRecord now = stat_picture(file);
      const PictureRecord& then = done[column][row];
      const bool is_done =
          !then.sha256.empty() && then.size == now.size && then.mtime_ns == now.mtime_ns;
      if (!is_done) cells.push_back({column, row});
    }
  }
  return cells;
}

// Shows one column's progress at a time: "decoding train, unsafe".
class DecodingProgress {
 public:
  DecodingProgress(const PictureJob& job, const std::vector<PicturePosition>& open, Logger& log)
      : job_(job), open_(open), log_(log) {}

  void enter(std::size_t column) {
    if (progress_ && column == column_) return;
    finish();
    column_ = column;
    const std::vector<PictureCell>& cells = job_.columns[column];
    const auto total = std::count_if(cells.begin(), cells.end(),
                                     [](const PictureCell& cell) { return !cell.file.empty(); });
    const auto left =
        std::count_if(open_.begin(), open_.end(),
                      [column](const PicturePosition& cell) { return cell.column == column; });
    progress_.emplace(
        log_, job_.names.size() > 1 ? cat(job_.label, ", ", job_.names[column]) : job_.label,
        "images", total, total - left);
  }
  void advance(std::size_t count) { progress_->advance(static_cast<std::int64_t>(count)); }
  void finish() {
    if (progress_) progress_->finish();
    progress_.reset();
  }

 private:
  const PictureJob& job_;
  const std::vector<PicturePosition>& open_;
  Logger& log_;
  std::size_t column_ = 0;
  std::optional<Progress> progress_;
};

std::vector<std::uint8_t> valid_flags(const PictureJob& job,
                                      const std::vector<std::vector<PictureRecord>>& records) {
  const std::size_t columns = job.columns.size();
  std::vector<std::uint8_t> valid(columns * job.columns[0].size());
  for (std::size_t column = 0; column < columns; ++column) {
    for (std::size_t row = 0; row < job.columns[column].size(); ++row) {
      const bool is_there =
          !job.columns[column][row].file.empty() && records[column][row].problem.empty();
      valid[row * columns + column] = is_there ? 1 : 0;
    }
  }
  return valid;
}

// Decodes the cells that the journal does not name, in chunks of one column.
class PictureDecoder {
 public:
  PictureDecoder(const PictureJob& job, const fs::path& folder,
                 const std::vector<Relative>& relatives, Logger& log)
      : job_(job),
        folder_(folder),
        log_(log),
        records_(known_records(job, folder)),
        cells_(open_cells(job, records_)),
        partial_(job, folder / kPartial),
        known_(relatives, partial_.row_bytes(), log),
        journal_(folder / kJournal, std::ios::app),
        pixels_(static_cast<std::size_t>(kChunk) * partial_.row_bytes()) {
    journal_ << '\n';
  }

  void run(const StopFlag* stop) {
    DecodingProgress progress(job_, cells_, log_);
    std::size_t chunks = 0;
    for (std::size_t begin = 0, size = 0; begin < cells_.size(); begin += size) {
      progress.enter(cells_[begin].column);
      if (stop != nullptr && stop->exit_code() != 0) flush();
      throw_if_stopped(stop, job_.label + ": interrupted; run the same command again to continue");
      size = std::min<std::size_t>(kChunk, cells_.size() - begin);
      while (cells_[begin + size - 1].column != cells_[begin].column) --size;
      decode(begin, size);
      if (++chunks % kChunksPerFlush == 0) flush();
      progress.advance(size);
    }
    progress.finish();
    finish();
  }

 private:
  static std::vector<std::vector<PictureRecord>> known_records(const PictureJob& job,
                                                               const fs::path& folder) {
    if (!fs::exists(folder / kPartial)) remove_tree(folder / kJournal);
    return read_records(folder / kJournal, job.columns.size(), job.columns[0].size());
  }

  void decode(std::size_t begin, std::size_t size) {
    std::fill(pixels_.begin(), pixels_.end(), std::uint8_t{0});
    for_each_index(static_cast<std::int64_t>(size), job_.threads, [&](std::int64_t i) {
      const auto offset = static_cast<std::size_t>(i);
      const PicturePosition& cell = cells_[begin + offset];
      bool is_known = false;
      records_[cell.column][cell.row] =
          decode_cell(job_.columns[cell.column][cell.row], job_, known_,
                      pixels_.data() + offset * partial_.row_bytes(), is_known);
      if (is_known) ++reused_;
    });
    for (std::size_t i = 0; i < size; ++i) {
      const PicturePosition& cell = cells_[begin + i];
      partial_.write_row(cell, pixels_.data() + i * partial_.row_bytes());
      pending_ += to_json(cell, records_[cell.column][cell.row]).dump() + "\n";
    }
  }

  // Rows reach the disk before the entries that vouch for them.
  void flush() {
    partial_.flush();
    journal_ << pending_ << std::flush;
    pending_.clear();
  }

  void finish() {
    partial_.write_valid(valid_flags(job_, records_));
    partial_.flush();
    if (reused_ > 0) {
      log_.info(cat(job_.label, ": ", with_commas(reused_), " of ",
                    with_commas(static_cast<std::int64_t>(cells_.size())), " images reused from ",
                    known_.taken_from()));
    }
    std::string lines;
    for (std::size_t column = 0; column < job_.columns.size(); ++column) {
      for (std::size_t row = 0; row < job_.columns[column].size(); ++row) {
        if (!job_.columns[column][row].file.empty())
          lines += to_json({column, row}, records_[column][row]).dump() + "\n";
      }
    }
    write_file_atomically(folder_ / kRecords, lines);
    rename_path(folder_ / kPartial, folder_ / kArtifactData);
    remove_tree(folder_ / kJournal);
  }

  const PictureJob& job_;
  const fs::path& folder_;
  Logger& log_;
  std::vector<std::vector<PictureRecord>> records_;
  std::vector<PicturePosition> cells_;
  PartialPictures partial_;
  DecodedPictures known_;
  std::ofstream journal_;
  std::string pending_;  // entries that are not in the journal yet
  std::vector<std::uint8_t> pixels_;
  std::atomic<std::int64_t> reused_{0};
};

std::string sha256_stored(const StoredPicture& picture) {
  return picture.member.empty() ? sha256_file(picture.file)
                                : sha256_hex(read_stored(picture, kMaxPictureBytes));
}

bool can_be_read(const StoredPicture& picture) {
  try {
    sha256_stored(picture);
    return true;
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

PictureRecord stat_picture(const StoredPicture& picture) {
  PictureRecord record;
  struct stat status {};
  if (::stat(picture.file.c_str(), &status) == 0) {
    record.size =
        picture.member.empty() ? static_cast<std::uint64_t>(status.st_size) : picture.size;
    record.mtime_ns =
        static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
  }
  return record;
}

void decode_pictures(const PictureJob& job, const fs::path& folder,
                     const std::vector<Relative>& relatives, Logger& log, const StopFlag* stop) {
  PictureDecoder(job, folder, relatives, log).run(stop);
}

void for_each_picture_record(const fs::path& folder, const TakeRecord& take) {
  for_each_record(folder / kRecords, take);
}

std::vector<std::string> picture_columns(const SafetensorsFile& file) {
  std::vector<std::string> names;
  const auto written = file.metadata().find(kPictureColumns);
  if (written == file.metadata().end()) return names;
  std::istringstream in(written->second);
  for (std::string name; std::getline(in, name, ',');) names.push_back(name);
  return names;
}

std::vector<std::vector<PictureRecord>> read_picture_records(const fs::path& folder,
                                                             std::size_t columns,
                                                             std::size_t rows) {
  return read_records(folder / kRecords, columns, rows);
}

bool pictures_are_current(const PictureJob& job, const fs::path& folder) {
  const auto records = read_picture_records(folder, job.columns.size(), job.columns[0].size());
  for (std::size_t column = 0; column < job.columns.size(); ++column) {
    for (std::size_t row = 0; row < job.columns[column].size(); ++row) {
      const StoredPicture& file = job.columns[column][row].file;
      if (file.empty()) continue;
      const PictureRecord& then = records[column][row];
      const PictureRecord now = stat_picture(file);
      const bool was_read = !then.sha256.empty();
      if (was_read && then.size == now.size && then.mtime_ns == now.mtime_ns) continue;
      // A failed read (disk, permission) may succeed now with the same time and size.
      if (!was_read && !can_be_read(file)) continue;
      if (then.size != now.size || then.sha256 != sha256_stored(file)) return false;
    }
  }
  return true;
}

}  // namespace saferclip
