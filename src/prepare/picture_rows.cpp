// The partial file is the final safetensors file from the start, each row at its final offset. Rows
// are flushed to disk before the journal names them: after a crash it never vouches for a row that
// is missing, and the next build decodes only what it does not name. The end is a rename, with the
// records kept as files.jsonl. A picture that cannot be decoded leaves a row of zeros and a problem
// in its record. Cells are decoded in parallel, chunk by chunk, and written by one thread.
#include "prepare/picture_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "prepare/artefact.h"
#include "prepare/decoded_pictures.h"
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
constexpr const char* kColumns = "columns";  // metadata: names of the tensors, in order
constexpr std::int64_t kChunk = 64;          // cells decoded at a time
constexpr std::size_t kChunksPerFlush = 4;

struct Cell {
  std::size_t column = 0;
  std::size_t row = 0;
};

// Sets `is_known` when another artefact already had the pixels.
PictureRecord decode_cell(const PictureCell& cell, const PictureJob& job,
                          const DecodedPictures& known, std::uint8_t* target, bool& is_known) {
  PictureRecord record = stat_picture(cell.file);
  try {
    const std::string bytes = read_file(cell.file, kMaxPictureBytes);
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
    const Image image = decode_preprocessed(bytes, cell.file.string(), job.preprocessing, options);
    std::copy(image.pixels.begin(), image.pixels.end(), target);
  } catch (const DataError& problem) {
    record.problem = problem.what();
  }
  return record;
}

Json to_json(const Cell& cell, const PictureRecord& record) {
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

// The final safetensors file from the start: header, then rows at fixed offsets.
class PartialFile {
 public:
  PartialFile(const PictureJob& job, const fs::path& path) : path_(path) {
    rows_ = static_cast<std::int64_t>(job.columns[0].size());
    side_ = job.preprocessing.image_size;
    std::vector<TensorShape> shapes;
    shapes.reserve(job.names.size() + 1);
    for (const std::string& name : job.names)
      shapes.push_back({name, at::kByte, {rows_, side_, side_, 3}});
    shapes.push_back({"valid", at::kByte, {rows_, static_cast<std::int64_t>(job.names.size())}});
    layout_ = plan_safetensors(shapes, {{"preprocessing", to_string(job.preprocessing)},
                                        {kColumns, join(job.names, ",")}});
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0 || ::ftruncate(descriptor_, static_cast<off_t>(layout_.file_size)) != 0) {
      const int reason = errno;
      if (descriptor_ >= 0) ::close(descriptor_);
      throw_storage_error("create", path, reason);
    }
    write(0, layout_.header.data(), layout_.header.size());
  }
  ~PartialFile() { ::close(descriptor_); }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::size_t row_bytes() const { return static_cast<std::size_t>(side_ * side_ * 3); }
  void write_row(const Cell& cell, const std::uint8_t* pixels) {
    write(layout_.offsets[cell.column] + cell.row * row_bytes(), pixels, row_bytes());
  }
  void write_valid(const std::vector<std::uint8_t>& valid) {
    write(layout_.offsets.back(), valid.data(), valid.size());
  }
  void flush() {
    if (::fsync(descriptor_) != 0) throw_storage_error("flush", path_, errno);
  }

 private:
  void write(std::uint64_t offset, const void* data, std::size_t size) {
    const char* next = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = ::pwrite(descriptor_, next, size, static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw_storage_error("write", path_, errno);
      next += written;
      offset += static_cast<std::uint64_t>(written);
      size -= static_cast<std::size_t>(written);
    }
  }

  fs::path path_;
  std::int64_t rows_ = 0;
  std::int64_t side_ = 0;
  SafetensorsLayout layout_;
  int descriptor_ = -1;
};

// Cells still to decode: not in the journal, or changed since.
std::vector<Cell> open_cells(const PictureJob& job,
                             const std::vector<std::vector<PictureRecord>>& done) {
  std::vector<Cell> cells;
  for (std::size_t column = 0; column < job.columns.size(); ++column) {
    for (std::size_t row = 0; row < job.columns[column].size(); ++row) {
      const fs::path& file = job.columns[column][row].file;
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
  DecodingProgress(const PictureJob& job, const std::vector<Cell>& open, Logger& log)
      : job_(job), open_(open), log_(log) {}

  void enter(std::size_t column) {
    if (progress_ && column == column_) return;
    finish();
    column_ = column;
    const std::vector<PictureCell>& cells = job_.columns[column];
    const auto total = std::count_if(cells.begin(), cells.end(),
                                     [](const PictureCell& cell) { return !cell.file.empty(); });
    const auto left = std::count_if(open_.begin(), open_.end(),
                                    [column](const Cell& cell) { return cell.column == column; });
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
  const std::vector<Cell>& open_;
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

bool can_be_read(const fs::path& file) {
  try {
    sha256_file(file);
    return true;
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

PictureRecord stat_picture(const fs::path& file) {
  PictureRecord record;
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0) {
    record.size = static_cast<std::uint64_t>(status.st_size);
    record.mtime_ns =
        static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
  }
  return record;
}

void decode_pictures(const PictureJob& job, const fs::path& folder,
                     const std::vector<Relative>& relatives, Logger& log, const StopFlag* stop) {
  const std::size_t rows = job.columns[0].size();
  if (!fs::exists(folder / kPartial)) remove_tree(folder / kJournal);
  auto records = read_records(folder / kJournal, job.columns.size(), rows);
  const std::vector<Cell> cells = open_cells(job, records);
  PartialFile partial(job, folder / kPartial);
  const DecodedPictures known(relatives, partial.row_bytes(), log);
  std::atomic<std::int64_t> taken{0};
  std::ofstream journal(folder / kJournal, std::ios::app);
  journal << '\n';
  DecodingProgress progress(job, cells, log);
  std::size_t chunks = 0;
  std::string pending;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kChunk) * partial.row_bytes());
  for (std::size_t begin = 0, size = 0; begin < cells.size(); begin += size) {
    progress.enter(cells[begin].column);
    if (stop != nullptr && stop->exit_code() != 0) {
      partial.flush();
      journal << pending << std::flush;
      throw_if_asked(stop, job.label + ": interrupted; run the same command again to continue");
    }
    size = std::min<std::size_t>(kChunk, cells.size() - begin);
    while (cells[begin + size - 1].column != cells[begin].column) --size;
    std::fill(pixels.begin(), pixels.end(), std::uint8_t{0});
    for_each_index(static_cast<std::int64_t>(size), at::get_num_threads(), [&](std::int64_t i) {
      const auto offset = static_cast<std::size_t>(i);
      const Cell& cell = cells[begin + offset];
      bool is_known = false;
      records[cell.column][cell.row] =
          decode_cell(job.columns[cell.column][cell.row], job, known,
                      pixels.data() + offset * partial.row_bytes(), is_known);
      if (is_known) ++taken;
    });
    for (std::size_t i = 0; i < size; ++i) {
      partial.write_row(cells[begin + i], pixels.data() + i * partial.row_bytes());
    }
    for (std::size_t i = 0; i < size; ++i) {
      const Cell& cell = cells[begin + i];
      pending += to_json(cell, records[cell.column][cell.row]).dump() + "\n";
    }
    // Rows reach the disk before the entries that vouch for them.
    if (++chunks % kChunksPerFlush == 0) {
      partial.flush();
      journal << pending << std::flush;
      pending.clear();
    }
    progress.advance(size);
  }
  progress.finish();
  partial.write_valid(valid_flags(job, records));
  partial.flush();
  if (taken > 0) {
    log.info(cat(job.label, ": ", with_commas(taken), " of ",
                 with_commas(static_cast<std::int64_t>(cells.size())), " images reused from ",
                 known.taken_from()));
  }
  std::string lines;
  for (std::size_t column = 0; column < job.columns.size(); ++column) {
    for (std::size_t row = 0; row < rows; ++row) {
      if (!job.columns[column][row].file.empty())
        lines += to_json({column, row}, records[column][row]).dump() + "\n";
    }
  }
  write_file_atomically(folder / kRecords, lines);
  rename_path(folder / kPartial, folder / kArtefactData);
  remove_tree(folder / kJournal);
}

void for_each_picture_record(const fs::path& folder, const TakeRecord& take) {
  for_each_record(folder / kRecords, take);
}

std::vector<std::string> picture_columns(const SafetensorsFile& file) {
  std::vector<std::string> names;
  const auto written = file.metadata().find(kColumns);
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
      const fs::path& file = job.columns[column][row].file;
      if (file.empty()) continue;
      const PictureRecord& then = records[column][row];
      const PictureRecord now = stat_picture(file);
      const bool was_read = !then.sha256.empty();
      if (was_read && then.size == now.size && then.mtime_ns == now.mtime_ns) continue;
      // A failed read (disk, permission) may succeed now with the same time and size.
      if (!was_read && !can_be_read(file)) continue;
      if (then.size != now.size || then.sha256 != sha256_file(file)) return false;
    }
  }
  return true;
}

}  // namespace saferclip
