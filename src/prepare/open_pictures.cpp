#include "prepare/picture_rows.h"
#include "saferclip/core/hash.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::string picture_key(const PictureJob& job) {
  Sha256 hash;
  hash.part("images")
      .part(kArtefactFormat)
      .part(to_string(job.preprocessing))
      .part(job.exif_rotate ? 1 : 0);
  for (const auto& column : job.columns) {
    hash.part(static_cast<std::int64_t>(column.size()));
    for (const PictureCell& cell : column) {
      hash.part(cell.file.string()).part(static_cast<std::int64_t>(stat_picture(cell.file).size));
    }
  }
  return hash.hex();
}

}  // namespace

OpenPictures open_pictures(const PictureJob& job, const fs::path& cache_dir,
                           const std::string& source, Logger& log, const StopFlag* stop) {
  ArtefactRequest request;
  request.cache_dir = cache_dir;
  request.kind = "images";
  request.key = picture_key(job);
  request.inputs = {{"source", source}, {"preprocessing", to_string(job.preprocessing)}};
  request.is_current = [&](const fs::path& folder) { return pictures_are_current(job, folder); };
  request.build = [&](const fs::path& folder) { decode_pictures(job, folder, log, stop); };
  SafetensorsFile file = open_or_build(request, log, stop);
  auto records =
      read_picture_records(file.path().parent_path(), job.columns.size(), job.columns[0].size());
  return {std::move(file), std::move(records)};
}

}  // namespace saferclip
