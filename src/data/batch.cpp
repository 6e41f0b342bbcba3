// A batch is copied row by row out of memory-mapped caches, on the prefetch thread. Anchors and
// boxes are drawn with keys made of seed and step, so a batch does not depend on those before it.
// Unsafe pictures are packed: only the rows that have one, with their positions in `unsafe_rows`.
// All ids of a batch are cut to one length, because one pass of the text tower takes them all; in
// every process to the same, because the losses must not depend on how many there are.
#include "saferclip/data/batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "saferclip/core/rng.h"
#include "saferclip/data/crops.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kAnchorStream = 0xA2C4;

// memcpy, not index_select: this thread must not start a second OpenMP team beside training's.
at::Tensor gather_rows(const at::Tensor& from, const std::vector<std::int64_t>& rows,
                       HostMemory memory) {
  std::vector<std::int64_t> sizes = from.sizes().vec();
  sizes[0] = static_cast<std::int64_t>(rows.size());
  at::Tensor result = at::empty(sizes, from.options().pinned_memory(is_pinned(memory)));
  const std::size_t bytes = from[0].nbytes();
  const auto* source = static_cast<const char*>(from.const_data_ptr());
  auto* target = static_cast<char*>(result.data_ptr());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(target + i * bytes, source + static_cast<std::size_t>(rows[i]) * bytes, bytes);
  }
  return result;
}

at::TensorOptions options_of(at::ScalarType dtype, HostMemory memory) {
  return at::TensorOptions(dtype).pinned_memory(is_pinned(memory));
}

// The first columns of each row. Pinned memory must be contiguous, or the upload is staged.
at::Tensor cut(const at::Tensor& ids, std::int64_t length, HostMemory memory) {
  const std::int64_t rows = ids.size(0), width = ids.size(1);
  at::Tensor result = at::empty({rows, length}, options_of(at::kInt, memory));
  for (std::int64_t i = 0; i < rows; ++i) {
    std::copy_n(ids.const_data_ptr<std::int32_t>() + i * width, length,
                result.mutable_data_ptr<std::int32_t>() + i * length);
  }
  return result;
}

at::Tensor indices(const std::vector<std::int64_t>& values, HostMemory memory) {
  at::Tensor result =
      at::empty({static_cast<std::int64_t>(values.size())}, options_of(at::kLong, memory));
  std::copy(values.begin(), values.end(), result.mutable_data_ptr<std::int64_t>());
  return result;
}

at::Tensor flags(const std::vector<bool>& values, HostMemory memory) {
  at::Tensor result =
      at::empty({static_cast<std::int64_t>(values.size())}, options_of(at::kFloat, memory));
  auto* data = result.mutable_data_ptr<float>();
  for (std::size_t i = 0; i < values.size(); ++i) data[i] = values[i] ? 1.0F : 0.0F;
  return result;
}

std::vector<std::int64_t> draw(std::int64_t pool, std::int64_t count, std::uint64_t key) {
  std::vector<std::int64_t> order = random_permutation(pool, key);
  order.resize(static_cast<std::size_t>(std::min(pool, count)));
  return order;
}

std::vector<std::int64_t> part_of(const std::vector<std::int64_t>& rows, const Slice& slice) {
  return {rows.begin() + slice.begin, rows.begin() + slice.end};
}

Slice own_slice(std::size_t rows, const BatchShare& share) {
  return slice_of(static_cast<std::int64_t>(rows), share.rank, share.size);
}

// Captions of all rows, of which this process embeds a slice: their cut length counts them all.
struct Captions {
  at::Tensor ids;
  at::Tensor ends;
  std::int64_t length = 0;
  at::Tensor all_ids;
};
Captions gather_captions(const at::Tensor& from, const std::vector<std::int64_t>& rows,
                         const PooledToken& pooled, const Slice& own, HostMemory memory) {
  const at::Tensor ids = gather_rows(from, rows, HostMemory::kPageable);
  const at::Tensor ends = end_positions(ids, pooled, memory);
  return {ids.narrow(0, own.begin, own.size()), ends.narrow(0, own.begin, own.size()),
          cut_length(ends, ids.size(1)), ids};
}

// The distinct ids in the first `length` columns, ascending.
at::Tensor distinct_ids(const std::vector<at::Tensor>& captions, std::int64_t length,
                        HostMemory memory) {
  std::vector<std::int64_t> found;
  for (const at::Tensor& ids : captions) {
    const auto* data = ids.const_data_ptr<std::int32_t>();
    for (std::int64_t i = 0; i < ids.size(0); ++i) {
      found.insert(found.end(), data + i * ids.size(1), data + i * ids.size(1) + length);
    }
  }
  std::ranges::sort(found);
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return indices(found, memory);
}

}  // namespace

at::Tensor end_positions(const at::Tensor& ids, const PooledToken& pooled, HostMemory memory) {
  const std::int64_t rows = ids.size(0);
  const std::int64_t length = ids.size(1);
  at::Tensor ends = at::empty({rows}, options_of(at::kLong, memory));
  if (pooled.is_last) return ends.fill_(length - 1);
  const at::Tensor flat = ids.to(at::kInt).contiguous();
  const auto* data = flat.const_data_ptr<std::int32_t>();
  auto* end = ends.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto* row = data + i * length;
    const auto* found = pooled.id < 0
                            ? std::max_element(row, row + length)
                            : std::find(row, row + length, static_cast<std::int32_t>(pooled.id));
    end[i] = found == row + length ? 0 : found - row;
  }
  return ends;
}

std::int64_t cut_length(const at::Tensor& ends, std::int64_t context_length) {
  const auto* data = ends.const_data_ptr<std::int64_t>();
  const std::int64_t longest = ends.numel() == 0 ? 0 : *std::max_element(data, data + ends.numel());
  return std::min(context_length, (longest + 1 + 7) / 8 * 8);
}

TargetRows gather_targets(const TargetCache& targets, const ReferenceCache& split,
                          const ReferenceCache& pool, const std::vector<std::int64_t>& rows,
                          HostMemory memory) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto options = pool.safe_text.options().pinned_memory(is_pinned(memory));
  const std::int64_t width = pool.safe_text.size(1);
  TargetRows result{at::empty({count, width}, options), at::empty({count, width}, options)};
  const auto row_of = [width](const at::Tensor& from, std::int64_t row) {
    return from.const_data_ptr<float>() + row * width;
  };
  const std::int64_t pool_rows = pool.safe_text.size(0);
  const auto* index = targets.index.const_data_ptr<std::int64_t>();
  const auto* picture = targets.image_index.const_data_ptr<std::int64_t>();
  const std::size_t bytes = static_cast<std::size_t>(width) * sizeof(float);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = rows[static_cast<std::size_t>(i)];
    const std::int64_t caption = index[row];
    const float* text = caption < 0            ? row_of(split.safe_text, row)
                        : caption >= pool_rows ? row_of(targets.extra_text, caption - pool_rows)
                                               : row_of(pool.safe_text, caption);
    const float* image =
        picture[row] < 0 ? row_of(split.safe_image, row) : row_of(pool.safe_image, picture[row]);
    std::memcpy(result.text.data_ptr<float>() + i * width, text, bytes);
    std::memcpy(result.image.data_ptr<float>() + i * width, image, bytes);
  }
  return result;
}

RowLabels gather_labels(const Manifest& manifest, const std::vector<std::int64_t>& rows,
                        HostMemory memory) {
  std::vector<bool> captions, images;
  for (const std::int64_t index : rows) {
    const ManifestRow& row = manifest.rows[static_cast<std::size_t>(index)];
    captions.push_back(row.unsafe_caption_label);
    images.push_back(row.unsafe_image_label);
  }
  return {flags(captions, memory), flags(images, memory)};
}

BatchSource::BatchSource(const SplitData& split, const TargetCache& targets,
                         const AnchorCache& anchors, const RowNeeds& needs,
                         std::int64_t anchors_per_step, std::uint64_t seed)
    : split_(split),
      targets_(targets),
      anchors_(anchors),
      needs_(needs),
      anchors_per_step_(anchors_per_step),
      seed_(seed) {}

BatchSource::Cut BatchSource::gather_unsafe(Batch& batch, const Rows& all,
                                            HostMemory memory) const {
  const Slice own = own_slice(all.rows.size(), batch.share);
  const Captions captions =
      gather_captions(split_.tokens.unsafe, all.rows, split_.tokens.pooled, own, memory);
  batch.unsafe_ids = captions.ids;
  batch.unsafe_ends = captions.ends;
  const auto* valid = split_.images.valid.const_data_ptr<std::uint8_t>();
  std::vector<bool> has_image;
  std::vector<std::int64_t> with_image;
  for (std::size_t i = 0; i < all.rows.size(); ++i) {
    batch.redirected_rows += all.is_redirected[i] ? 1 : 0;
    has_image.push_back(valid[2 * all.rows[i] + 1] != 0);
    if (all.is_redirected[i]) {
      const ManifestRow& row = split_.manifest.rows[static_cast<std::size_t>(all.rows[i])];
      batch.labels.add(row.unsafe_caption_label, row.unsafe_image_label, has_image.back());
    }
    if (!has_image.back()) continue;
    batch.redirected_rows_with_unsafe_image += all.is_redirected[i] ? 1 : 0;
    const std::int64_t position = static_cast<std::int64_t>(i) - own.begin;
    if (position < 0 || position >= own.size()) continue;
    with_image.push_back(all.rows[i]);
    batch.unsafe_positions.push_back(position);
  }
  batch.unsafe_pixels = gather_rows(split_.images.unsafe, with_image, memory);
  if (needs_.crops) {
    batch.unsafe_boxes = crop_boxes(seed_, batch.step, with_image, PictureColumn::kUnsafe, memory);
  }
  batch.unsafe_rows = indices(batch.unsafe_positions, memory);
  batch.has_unsafe_image = flags(has_image, memory);
  batch.is_redirected = flags(all.is_redirected, memory);
  if (needs_.labels) {
    RowLabels labels = gather_labels(split_.manifest, all.rows, memory);
    batch.unsafe_caption_label = std::move(labels.caption);
    batch.unsafe_image_label = std::move(labels.image);
  }
  return {captions.length, captions.all_ids};
}

BatchSource::Cut BatchSource::gather_anchors(Batch& batch, HostMemory memory) const {
  const auto chosen = [&](const at::Tensor& pool, std::uint64_t kind) {
    return draw(pool.size(0), anchors_per_step_,
                mix_bits(seed_, {kAnchorStream, kind, static_cast<std::uint64_t>(batch.step)}));
  };
  Cut cut;
  if (needs_.anchor_text) {
    const auto rows = chosen(anchors_.prompts, 0);
    const Captions captions = gather_captions(anchors_.prompts, rows, split_.tokens.pooled,
                                              own_slice(rows.size(), batch.share), memory);
    batch.anchor_ids = captions.ids;
    batch.anchor_ends = captions.ends;
    batch.reference_anchor_text = gather_rows(anchors_.text, rows, memory);
    cut = {captions.length, captions.all_ids};
  }
  if (needs_.anchor_image) {
    const auto rows = chosen(anchors_.images, 1);
    batch.anchor_pixels =
        gather_rows(anchors_.images, part_of(rows, own_slice(rows.size(), batch.share)), memory);
    batch.reference_anchor_image = gather_rows(anchors_.image, rows, memory);
  }
  return cut;
}

Batch BatchSource::gather(const Rows& all, HostMemory memory, const BatchShare& share) const {
  const std::vector<std::int64_t>& rows = all.rows;
  const Slice own = own_slice(rows.size(), share);
  Batch batch;
  batch.step = all.step;
  batch.share = share;
  batch.total_rows = static_cast<std::int64_t>(rows.size());
  batch.rows = part_of(rows, own);
  batch.safe_pixels = gather_rows(split_.images.safe, batch.rows, memory);
  if (needs_.crops) {
    batch.safe_boxes = crop_boxes(seed_, all.step, batch.rows, PictureColumn::kSafe, memory);
  }
  const Captions captions =
      gather_captions(split_.tokens.safe, rows, split_.tokens.pooled, own, memory);
  batch.safe_ids = captions.ids;
  batch.safe_ends = captions.ends;
  std::vector<Cut> cuts{{captions.length, captions.all_ids}};
  if (needs_.unsafe) cuts.push_back(gather_unsafe(batch, all, memory));
  if (needs_.reference) {
    const ReferenceCache& from = split_.reference;
    batch.reference = {
        gather_rows(from.safe_text, rows, memory), gather_rows(from.safe_image, rows, memory),
        gather_rows(from.unsafe_text, rows, memory), gather_rows(from.unsafe_image, rows, memory)};
  }
  if (needs_.targets) {
    TargetRows targets = gather_targets(targets_, split_.reference, split_.reference, rows, memory);
    batch.target_text = std::move(targets.text);
    batch.target_image = std::move(targets.image);
  }
  cuts.push_back(gather_anchors(batch, memory));
  std::int64_t length = 0;
  std::vector<at::Tensor> all_ids;
  for (const Cut& cut : cuts) {
    length = std::max(length, cut.length);
    if (cut.all_ids.defined()) all_ids.push_back(cut.all_ids);
  }
  if (share.size > 1) batch.used_ids = distinct_ids(all_ids, length, memory);
  for (at::Tensor* ids : {&batch.safe_ids, &batch.unsafe_ids, &batch.anchor_ids}) {
    if (ids->defined()) *ids = cut(*ids, length, memory);
  }
  return batch;
}

Batch slice_batch(const Batch& batch, std::int64_t begin, std::int64_t end) {
  const auto& positions = batch.unsafe_positions;
  const auto first = std::lower_bound(positions.begin(), positions.end(), begin);
  const auto last = std::lower_bound(first, positions.end(), end);
  const std::int64_t first_picture = first - positions.begin();
  const std::int64_t last_picture = last - positions.begin();
  Batch slice = batch;
  slice.unsafe_positions.assign(first, last);
  for (std::int64_t& position : slice.unsafe_positions) position -= begin;
  slice.rows.assign(batch.rows.begin() + begin, batch.rows.begin() + end);
  slice.for_each_tensor([&](at::Tensor& tensor, BatchAxis axis) {
    switch (axis) {
      case BatchAxis::kRow:
        tensor = tensor.narrow(0, begin, end - begin);
        break;
      case BatchAxis::kUnsafePicture:
        tensor = tensor.narrow(0, first_picture, last_picture - first_picture);
        break;
      case BatchAxis::kAnchor:
        if (begin > 0) tensor = at::Tensor();
        break;
      case BatchAxis::kAll:
        break;
    }
  });
  if (slice.unsafe_rows.defined()) slice.unsafe_rows = slice.unsafe_rows - begin;
  return slice;
}

LossConstants constants_of(const LossConstants& all, const std::vector<Slice>& rows) {
  LossConstants some = all;
  some.for_each_of_rows([&](at::Tensor& tensor) {
    if (!tensor.defined()) return;
    std::vector<at::Tensor> parts;
    for (const Slice& slice : rows) {
      if (slice.size() > 0) parts.push_back(tensor.narrow(0, slice.begin, slice.size()));
    }
    tensor = parts.size() == 1 ? parts.front() : at::cat(parts);
  });
  return some;
}

Batch move_batch(const Batch& batch, at::Device device) {
  if (device.is_cpu()) return batch;
  Batch moved = batch;
  moved.for_each_tensor(
      [&](at::Tensor& tensor, BatchAxis) { tensor = tensor.to(device, /*non_blocking=*/true); });
  return moved;
}

}  // namespace saferclip
