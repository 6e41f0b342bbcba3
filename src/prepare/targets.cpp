// Nearest-safe targets and anchors. Targets are searched among the good rows of the pool, the extra
// captions, or both. Stored indices are manifest rows of the pool first and extra captions after
// them, so they do not depend on which rows are good. An extra caption has no picture: it gets the
// pool picture nearest to it, or the row keeps its own (extra_image: own).
#include <ATen/ATen.h>

#include "prepare/artifact.h"
#include "prepare/keys.h"
#include "prepare/reference_rows.h"
#include "saferclip/core/files.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/objective/nearest_safe.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Converts positions among the pool's good rows to its manifest rows. Positions beyond the good
// rows are extra captions, numbered after the manifest's rows.
at::Tensor pool_rows(const at::Tensor& found, const at::Tensor& good, std::int64_t manifest_rows) {
  const std::int64_t count = good.size(0);
  const at::Tensor extra = found - count + manifest_rows;
  const at::Tensor rows = good.index_select(0, found.clamp(0, count - 1));
  return at::where(found.lt(0), found, at::where(found.ge(count), extra, rows));
}

at::Tensor spread(const at::Tensor& values, const at::Tensor& rows, std::int64_t count,
                  const at::Scalar& rest) {
  return at::full({count}, rest, values.options()).index_put({rows}, values);
}

// `extra_text`: embeddings of the extra captions.
std::vector<NamedTensor> find_targets(const SplitData& split, const SplitData& pool,
                                      const at::Tensor& extra_text, const TargetsOptions& options,
                                      const StopFlag* stop, Logger& log) {
  const bool is_pool = &split == &pool;
  const at::Tensor rows = at::tensor(split.good_rows, at::kLong);
  const at::Tensor good = at::tensor(pool.good_rows, at::kLong);
  const auto pool_count = static_cast<std::int64_t>(pool.manifest.rows.size());
  const bool has_extra = extra_text.size(0) > 0;
  at::Tensor texts = pool.reference.safe_text.index_select(0, good);
  at::Tensor extra_picture = at::empty({0}, at::kLong);
  if (has_extra) {
    texts = options.pool == TargetPool::kFile ? extra_text : at::cat({texts, extra_text});
    const at::Tensor none = at::full({extra_text.size(0)}, -1, at::kLong);
    extra_picture = good.index_select(
        0, find_nearest_safe(extra_text, extra_text,
                             pool.reference.safe_image.index_select(0, good), none, {}, stop)
               .index);
  }
  const bool is_file = options.pool == TargetPool::kFile;
  const at::Tensor own = is_pool && !is_file ? at::arange(rows.size(0), at::kLong)
                                             : at::full({rows.size(0)}, -1, at::kLong);
  const Progress searching(log, cat("nearest-safe targets of ", split.name));
  const NearestTargets found =
      find_nearest_safe(split.reference.unsafe_text.index_select(0, rows),
                        split.reference.safe_text.index_select(0, rows), texts, own, options, stop);
  const at::Tensor index = is_file
                               ? at::where(found.index.lt(0), found.index, found.index + pool_count)
                               : pool_rows(found.index, good, pool_count);
  at::Tensor picture = index;
  const at::Tensor is_extra = index.ge(pool_count);
  if (has_extra) {
    const at::Tensor theirs =
        options.extra_image == ExtraImage::kOwn
            ? at::full_like(index, -1)
            : extra_picture.index_select(0, (index - pool_count).clamp_min(0));
    picture = at::where(is_extra, theirs, picture);
  }
  if (options.image == ImageTarget::kOwn) picture = at::full_like(index, -1);
  const auto count = static_cast<std::int64_t>(split.manifest.rows.size());
  return {{"index", spread(index, rows, count, -1)},
          {"image_index", spread(picture, rows, count, -1)},
          {"cosine", spread(found.cosine, rows, count, -1)},
          {"fixed_cosine", spread(found.fixed_cosine, rows, count, -1)}};
}

}  // namespace

TargetCache Preparer::targets(const SplitData& split, const SplitData& pool,
                              const TargetsOptions& options) {
  std::vector<std::string> extra;
  if (!options.extra_captions.empty()) extra = read_lines(options.extra_captions);
  ArtifactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "targets";
  request.key = targets_key(split, pool, options, extra, tokenizer_);
  request.inputs = {{"manifest", split.manifest.file.string()}, {"mode", to_string(options.mode)}};
  request.recipe = embedding_recipe(source_, data_.exif_rotate, device_text(device_, is_tf32()));
  request.embed = [&](const Builders& builders, const std::vector<Relative>& relatives) {
    ReferenceRows extra_rows(reference_request("extra safe captions", builders), relatives, log_);
    extra_rows.add_captions("extra_text", token_ids(extra, "extra safe captions"));
    return extra_rows.finish();
  };
  request.build = [&](const fs::path& folder, const std::vector<Relative>&,
                      const std::vector<NamedTensor>& embedded) {
    std::vector<NamedTensor> tensors = embedded;
    log_.info(cat("nearest-safe targets of ",
                  with_commas(static_cast<std::int64_t>(split.good_rows.size())), " rows"));
    for (NamedTensor& tensor : find_targets(split, pool, tensors[0].tensor, options, stop_, log_))
      tensors.push_back(std::move(tensor));
    write_safetensors(folder / kArtifactData, tensors);
  };
  const SafetensorsFile file = open_or_build(request, builders(), log_, stop_);
  return {file.tensor("index"),
          file.tensor("image_index"),
          file.tensor("cosine"),
          file.tensor("fixed_cosine"),
          file.tensor("extra_text"),
          std::move(extra),
          request.key};
}

AnchorCache Preparer::anchors(const AnchorOptions& options) {
  AnchorCache cache;
  if (options.prompts.empty() && options.images.empty()) return cache;
  if (!options.prompts.empty()) {
    cache.prompts = token_ids(read_lines(options.prompts), "anchor prompts");
  }
  at::Tensor digests;
  if (!options.images.empty()) {
    const PictureFiles files = find_images(options.images);
    if (!files.others.empty()) log_.warn(cat(options.images, ": ", files.note()));
    const OpenPictures opened = open_files(files.pictures, "anchor images");
    cache.images = opened.file.tensor("images");
    digests = picture_digests(opened.records[0]);
  }
  ArtifactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "anchors";
  request.key = anchors_key(options, cache, source_, data_.exif_rotate, is_tf32());
  request.inputs = {{"prompts", options.prompts}, {"images", options.images}};
  request.recipe = embedding_recipe(source_, data_.exif_rotate, device_text(device_, is_tf32()));
  request.embed = [&](const Builders& builders, const std::vector<Relative>& relatives) {
    std::vector<NamedTensor> tensors;
    if (cache.prompts.defined()) {
      ReferenceRows rows(reference_request("anchor prompts", builders), relatives, log_);
      rows.add_captions("text", cache.prompts);
      for (NamedTensor& tensor : rows.finish()) tensors.push_back(std::move(tensor));
    }
    if (cache.images.defined()) {
      ReferenceRows rows(reference_request("anchor images", builders), relatives, log_);
      rows.add_pictures("image", cache.images, digests);
      for (NamedTensor& tensor : rows.finish()) tensors.push_back(std::move(tensor));
    }
    return tensors;
  };
  request.build = write_embedded;
  const SafetensorsFile file = open_or_build(request, builders(), log_, stop_);
  if (cache.prompts.defined()) cache.text = file.tensor("text");
  if (cache.images.defined()) cache.image = file.tensor("image");
  cache.key = request.key;
  return cache;
}

}  // namespace saferclip
