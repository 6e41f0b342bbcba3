#include <ATen/ATen.h>

#include "prepare/artefact.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/objective/nearest_safe.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Rows of the pool's manifest out of positions among its good rows; what lies behind them are extra
// captions, numbered after the manifest's rows.
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

}  // namespace

std::vector<NamedTensor> Preparer::find_targets(const SplitData& split, const SplitData& pool,
                                                const std::vector<std::string>& extra,
                                                const TargetsOptions& options) {
  const bool is_pool = &split == &pool;
  const at::Tensor rows = at::tensor(split.good_rows, at::kLong);
  const at::Tensor good = at::tensor(pool.good_rows, at::kLong);
  const auto pool_count = static_cast<std::int64_t>(pool.manifest.rows.size());
  at::Tensor texts = pool.reference.safe_text.index_select(0, good);
  at::Tensor extra_text = at::empty({0, texts.size(1)});
  at::Tensor extra_picture = at::empty({0}, at::kLong);
  if (!extra.empty()) {
    EmbedOptions embed;
    embed.stop = stop_;
    extra_text = embed_ids(reference(), token_ids(extra, "extra safe captions"), log_,
                           "extra safe captions", embed);
    texts = options.pool == "file" ? extra_text : at::cat({texts, extra_text});
    const at::Tensor none = at::full({extra_text.size(0)}, -1, at::kLong);
    extra_picture = good.index_select(
        0, find_nearest_safe(extra_text, extra_text,
                             pool.reference.safe_image.index_select(0, good), none, {}, stop_)
               .index);
  }
  const bool is_file = options.pool == "file";
  const at::Tensor own = is_pool && !is_file ? at::arange(rows.size(0), at::kLong)
                                             : at::full({rows.size(0)}, -1, at::kLong);
  const Progress searching(log_, cat("nearest-safe targets of ", split.name));
  const NearestTargets found = find_nearest_safe(split.reference.unsafe_text.index_select(0, rows),
                                                 split.reference.safe_text.index_select(0, rows),
                                                 texts, own, options, stop_);
  const at::Tensor index = is_file
                               ? at::where(found.index.lt(0), found.index, found.index + pool_count)
                               : pool_rows(found.index, good, pool_count);
  at::Tensor picture = index;
  const at::Tensor is_extra = index.ge(pool_count);
  if (!extra.empty()) {
    const at::Tensor theirs =
        options.extra_image == "own"
            ? at::full_like(index, -1)
            : extra_picture.index_select(0, (index - pool_count).clamp_min(0));
    picture = at::where(is_extra, theirs, picture);
  }
  if (options.image == "own") picture = at::full_like(index, -1);
  const auto count = static_cast<std::int64_t>(split.manifest.rows.size());
  return {{"index", spread(index, rows, count, -1)},
          {"image_index", spread(picture, rows, count, -1)},
          {"cosine", spread(found.cosine, rows, count, -1)},
          {"fixed_cosine", spread(found.fixed_cosine, rows, count, -1)},
          {"extra_text", extra_text}};
}

TargetCache Preparer::targets(const SplitData& split, const SplitData& pool,
                              const TargetsOptions& options) {
  std::vector<std::string> extra;
  if (!options.extra_captions.empty()) extra = read_lines(options.extra_captions);
  Sha256 hash;
  hash.part("targets")
      .part(kArtefactFormat)
      .part(split.reference.key)
      .part(pool.reference.key)
      .part(options.mode)
      .part(options.pool)
      .part(options.image)
      .part(options.extra_image)
      .part(options.allow_self ? 1 : 0)
      .part(options.dedup ? 1 : 0)
      .part(options.min_similarity ? std::to_string(*options.min_similarity) : "none")
      .part(tokenizer_.fingerprint());
  for (const std::string& caption : extra) hash.part(caption);
  for (const SplitData* rows : {&split, &pool}) {
    hash.part("rows");
    for (const std::int64_t row : rows->good_rows) hash.part(row);
  }
  ArtefactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "targets";
  request.key = hash.hex();
  request.inputs = {{"manifest", split.manifest.file.string()}, {"mode", options.mode}};
  request.build = [&](const fs::path& folder) {
    log_.info(cat("nearest-safe targets of ",
                  with_commas(static_cast<std::int64_t>(split.good_rows.size())), " rows"));
    write_safetensors(folder / kArtefactData, find_targets(split, pool, extra, options));
  };
  const SafetensorsFile file = open_or_build(request, log_, stop_);
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
  if (!options.images.empty()) {
    const PictureFiles files = required_picture_files(options.images);
    if (!files.others.empty()) log_.warn(cat(options.images, ": ", files.note()));
    cache.images = pictures(files.pictures, "anchor images");
  }
  Sha256 hash;
  hash.part("anchors")
      .part(kArtefactFormat)
      .part(source_.hash())
      .part(activation_text(source_.geometry));
  for (const at::Tensor& tensor : {cache.prompts, cache.images}) {
    if (tensor.defined()) {
      hash.part(
          std::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()));
    }
  }
  ArtefactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "anchors";
  request.key = hash.hex();
  request.inputs = {{"prompts", options.prompts}, {"images", options.images}};
  request.build = [&](const fs::path& folder) {
    EmbedOptions embed;
    embed.stop = stop_;
    std::vector<NamedTensor> tensors;
    if (cache.prompts.defined()) {
      tensors.push_back(
          {"text", embed_ids(reference(), cache.prompts, log_, "anchor prompts", embed)});
    }
    if (cache.images.defined()) {
      tensors.push_back({"image", embed_pixels(reference(), source_.preprocessing, cache.images,
                                               log_, "anchor images", embed)});
    }
    write_safetensors(folder / kArtefactData, tensors);
  };
  const SafetensorsFile file = open_or_build(request, log_, stop_);
  if (cache.prompts.defined()) cache.text = file.tensor("text");
  if (cache.images.defined()) cache.image = file.tensor("image");
  cache.key = request.key;
  return cache;
}

}  // namespace saferclip
