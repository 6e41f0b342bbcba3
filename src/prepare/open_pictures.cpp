// Describes a PictureJob as an artifact; open_or_build decides whether to open or to decode it.
// This is apart from picture_rows.cpp, which decodes into a folder and knows no keys. Artifacts of
// other lists with the same decoding recipe are passed on, so pictures that they hold are not
// decoded twice.
#include "prepare/keys.h"
#include "prepare/picture_rows.h"

namespace saferclip {
namespace fs = std::filesystem;

OpenPictures open_pictures(const PictureJob& job, const fs::path& cache_dir,
                           const std::string& source, const Builders& builders, Logger& log,
                           const StopFlag* stop) {
  ArtifactRequest request;
  request.cache_dir = cache_dir;
  request.kind = "images";
  request.key = images_key(job);
  request.inputs = {{"source", source}, {"preprocessing", to_string(job.preprocessing)}};
  request.is_current = [&](const fs::path& folder) { return pictures_are_current(job, folder); };
  request.recipe = decoding_recipe(job.preprocessing, job.exif_rotate);
  request.build = [&](const fs::path& folder, const std::vector<Relative>& relatives,
                      const std::vector<NamedTensor>&) {
    decode_pictures(job, folder, relatives, log, stop);
  };
  SafetensorsFile file = open_or_build(request, builders, log, stop);
  auto records =
      read_picture_records(file.path().parent_path(), job.columns.size(), job.columns[0].size());
  return {std::move(file), std::move(records)};
}

}  // namespace saferclip
