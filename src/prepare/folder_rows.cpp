// The same artifacts as a split's: decoded pictures, and embeddings that name what each row was
// made from. Rows that `prepare` has embedded with the same weights are therefore copied as well.
// The key takes the files' content, so a renamed file is not embedded again.
#include "saferclip/prepare/folder_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "prepare/artifact.h"
#include "prepare/keys.h"
#include "prepare/picture_rows.h"
#include "prepare/reference_rows.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRows = "image";  // the tensor

Builders alone() { return {Processes{}, CacheOwners()}; }

}  // namespace

FolderEmbeddings::FolderEmbeddings(FolderRequest request, const WeightsSource& source,
                                   at::Device device, Logger& log, const StopFlag& stop)
    : request_(std::move(request)), source_(source), device_(device), log_(log), stop_(stop) {
  PictureJob job;
  job.names = {"images"};
  job.columns.resize(1);
  for (const fs::path& file : request_.files) {
    job.columns[0].push_back({file, file.filename().string(), 0});
  }
  job.preprocessing = source_.preprocessing;
  job.exif_rotate = request_.exif_rotate;
  job.label = "decoding " + request_.label;
  job.threads = at::get_num_threads();
  const OpenPictures opened =
      open_pictures(job, request_.cache_dir, request_.label, alone(), log_, &stop_);
  pixels_ = opened.file.tensor("images");
  digests_ = picture_digests(opened.records[0]);
  for (const PictureRecord& record : opened.records[0]) {
    problems_.push_back(record.problem);
    contents_.push_back(record.problem.empty() ? record.sha256 : "");
  }
}

FolderRows FolderEmbeddings::rows_of(const EmbeddingModel& model) const {
  FolderRows result;
  ArtifactRequest request;
  request.cache_dir = request_.cache_dir;
  request.kind = "folder";
  request.key = folder_key(contents_, source_, request_.exif_rotate, model.weights);
  request.inputs = {{"images", request_.label}, {"weights", model.weights}};
  request.recipe = embedding_recipe(source_, request_.exif_rotate, model.weights,
                                    device_text(device_, /*is_tf32=*/false));
  request.embed = [&](const Builders& builders, const std::vector<Relative>& relatives) {
    ReferenceRows rows({source_, device_, model.model, model.label, &stop_, false, builders},
                       relatives, log_);
    rows.add_pictures(kRows, pixels_, digests_);
    result.embedded = rows.new_rows();
    return rows.finish();
  };
  request.build = write_embedded;
  result.rows = open_or_build(request, alone(), log_, &stop_).tensor(kRows);
  return result;
}

}  // namespace saferclip
