// The shape of a product decides the order of its sums, and with it the last bits of a row. All
// blocks of a group therefore have one shape; copies of the last row fill up the last block.
// Captions are grouped by the length that they are cut to, because what follows the pooled token
// costs time and changes nothing. Equal captions and equal pictures are embedded once.
#include "saferclip/prepare/embedding.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/transfers.h"
#include "saferclip/data/caches.h"
#include "saferclip/model/clip_forward.h"

namespace saferclip {
namespace {

constexpr std::int64_t kCaptionsAtOnce = 256;

at::Tensor l2_normalized(const at::Tensor& x) { return x / x.norm(2, {1}, true).clamp_min(1e-12); }

ForwardMode mode_of(const EmbedJob& job) {
  ForwardMode mode;
  mode.stop = job.stop;
  return mode;
}

// A block's embeddings on their way to the host.
struct EmbeddedBlock {
  at::Tensor rows;  // int64: where they belong
  at::Tensor host;
  Downloads downloads;
};

// Runs `embed` on blocks of rows of each group (int64 [n]); the last block is padded with copies of
// its last row. A block is stored while the device works on the next one.
at::Tensor in_blocks(std::int64_t count, const std::vector<at::Tensor>& groups, std::int64_t width,
                     const char* unit, const EmbedJob& job,
                     const std::function<at::Tensor(const at::Tensor& rows)>& embed) {
  const at::NoGradGuard guard;
  at::Tensor result = at::empty({count, width}, at::kFloat);
  Progress progress(job.log, job.label, unit, count);
  EmbeddedBlock before;
  const auto store = [&](EmbeddedBlock block) {
    std::swap(block, before);
    if (!block.rows.defined()) return;
    block.downloads.wait();
    result.index_copy_(0, block.rows, block.host);
    progress.advance(block.rows.size(0));
  };
  for (const at::Tensor& group : groups) {
    const std::int64_t members = group.size(0);
    // A few rows do not justify a whole block of a large model.
    const std::int64_t block =
        job.fills_blocks ? job.block : std::min(job.block, (members + 7) / 8 * 8);
    for (std::int64_t begin = 0; begin < members; begin += block) {
      throw_if_stopped(job.stop, job.label + ": interrupted; finished artifacts are kept");
      const std::int64_t size = std::min(block, members - begin);
      const at::Tensor rows =
          group.index_select(0, at::arange(begin, begin + block, at::kLong).clamp_max(members - 1));
      EmbeddedBlock now{rows.narrow(0, 0, size), {}, {}};
      now.host = now.downloads.start(l2_normalized(embed(rows)).narrow(0, 0, size));
      store(std::move(now));
    }
  }
  store({});
  if (count > 4 * job.block) progress.finish();
  return result;
}

// Groups rows by the length that their ids are cut to. The length depends on the row alone, as its
// bits must.
std::vector<at::Tensor> rows_by_length(const at::Tensor& ends, std::int64_t context) {
  std::map<std::int64_t, std::vector<std::int64_t>> rows;
  for (std::int64_t i = 0; i < ends.size(0); ++i)
    rows[cut_length(ends.narrow(0, i, 1), context)].push_back(i);
  std::vector<at::Tensor> groups;
  groups.reserve(rows.size());
  for (const auto& [length, members] : rows) groups.push_back(at::tensor(members, at::kLong));
  return groups;
}

}  // namespace

TokenRows token_rows(const Tokenizer& tokenizer, const std::vector<std::string>& captions) {
  const std::int64_t context = tokenizer.spec().context_length;
  const auto count = static_cast<std::int64_t>(captions.size());
  TokenRows rows{at::zeros({count, context}, at::kInt), at::zeros({count}, at::kByte)};
  auto* data = rows.ids.mutable_data_ptr<std::int32_t>();
  auto* cut = rows.is_cut.mutable_data_ptr<std::uint8_t>();
  at::parallel_for(0, count, kCaptionsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      bool is_cut = false;
      const std::vector<std::int32_t> row =
          tokenizer.encode(captions[static_cast<std::size_t>(i)], &is_cut);
      std::copy(row.begin(), row.end(), data + i * context);
      cut[i] = is_cut ? 1 : 0;
    }
  });
  return rows;
}

at::Tensor embed_pixels(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const at::Tensor& positions,
                        const EmbedJob& job) {
  const at::Device device = model.logit_scale.device();
  const std::int64_t count = positions.size(0);
  return in_blocks(
      count, {at::arange(count, at::kLong)}, model.geometry.embed_dim, "images", job,
      [&](const at::Tensor& rows) {
        const at::Tensor block = pixels.index_select(0, positions.index_select(0, rows));
        return encode_images(model, preprocessing, upload(block, device), mode_of(job));
      });
}

at::Tensor embed_pixels(const ClipModel& model, const Preprocessing& preprocessing,
                        const at::Tensor& pixels, const EmbedJob& job) {
  return embed_pixels(model, preprocessing, pixels, at::arange(pixels.size(0), at::kLong), job);
}

at::Tensor embed_pictures(const ClipModel& model, const Preprocessing& preprocessing,
                          const at::Tensor& pixels, const std::vector<std::int64_t>& picture,
                          const EmbedJob& job) {
  std::vector<std::int64_t> first_rows, rows, positions;
  std::unordered_map<std::int64_t, std::int64_t> place;
  for (std::size_t i = 0; i < picture.size(); ++i) {
    if (picture[i] < 0) continue;
    const auto [found, is_new] =
        place.emplace(picture[i], static_cast<std::int64_t>(first_rows.size()));
    if (is_new) first_rows.push_back(static_cast<std::int64_t>(i));
    rows.push_back(static_cast<std::int64_t>(i));
    positions.push_back(found->second);
  }
  at::Tensor result =
      at::zeros({pixels.size(0), model.geometry.embed_dim}, at::TensorOptions().dtype(at::kFloat));
  if (rows.empty()) return result;
  const at::Tensor first = at::tensor(first_rows, at::kLong);
  const at::Tensor embedded = embed_pixels(model, preprocessing, pixels, first, job);
  return result.index_put_({at::tensor(rows, at::kLong)},
                           embedded.index_select(0, at::tensor(positions, at::kLong)));
}

at::Tensor embed_ids(const ClipModel& model, const at::Tensor& ids, const EmbedJob& job) {
  const at::Device device = model.logit_scale.device();
  const at::Tensor flat = ids.contiguous();
  const auto* data = reinterpret_cast<const char*>(flat.const_data_ptr());
  const std::size_t bytes = static_cast<std::size_t>(flat.size(1)) * sizeof(std::int32_t);
  std::unordered_map<std::string_view, std::int64_t> seen;
  std::vector<std::int64_t> first_rows, positions;
  for (std::int64_t i = 0; i < flat.size(0); ++i) {
    const std::string_view row(data + static_cast<std::size_t>(i) * bytes, bytes);
    const auto [found, is_new] = seen.emplace(row, static_cast<std::int64_t>(first_rows.size()));
    if (is_new) first_rows.push_back(i);
    positions.push_back(found->second);
  }
  const at::Tensor distinct = flat.index_select(0, at::tensor(first_rows, at::kLong));
  const at::Tensor ends = end_positions(
      distinct, {form_of(model.geometry.family).pools_last_token, model.geometry.pooled_id});
  const at::Tensor embedded = in_blocks(
      distinct.size(0), rows_by_length(ends, flat.size(1)), model.geometry.embed_dim, "captions",
      job, [&](const at::Tensor& rows) {
        const at::Tensor marks = ends.index_select(0, rows);
        const std::int64_t length = cut_length(marks, flat.size(1));
        const at::Tensor cut = distinct.narrow(1, 0, length).index_select(0, rows);
        return encode_texts(model, upload(cut, device), upload(marks, device), mode_of(job));
      });
  return embedded.index_select(0, at::tensor(positions, at::kLong));
}

}  // namespace saferclip
