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
#include "saferclip/core/slices.h"
#include "saferclip/core/transfers.h"
#include "saferclip/data/caches.h"
#include "saferclip/model/clip_forward.h"

namespace saferclip {
namespace {

constexpr std::int64_t kCaptionsAtOnce = 256;
constexpr std::int64_t kBlocksInRound = 8;  // of each process, before rows are exchanged

at::Tensor l2_normalized(const at::Tensor& x) { return x / x.norm(2, {1}, true).clamp_min(1e-12); }

std::string stopped_text(const EmbedJob& job) {
  return job.label + ": interrupted; finished artifacts are kept";
}

// One of several processes must not stop alone.
ForwardMode mode_of(const EmbedJob& job) {
  ForwardMode mode;
  mode.stop = job.processes.is_alone() ? job.stop : nullptr;
  return mode;
}

// Rows that go through the model at once.
struct Block {
  at::Tensor rows;         // int64: which; the last ones may be copies
  std::int64_t count = 0;  // without the copies
};

// A list's blocks, of one size. A few rows do not justify a whole block of a large model.
std::vector<Slice> slices_of(std::int64_t members, const EmbedJob& job) {
  const std::int64_t block =
      job.fills_blocks ? job.block : std::min(job.block, (members + 7) / 8 * 8);
  std::vector<Slice> slices;
  for (std::int64_t begin = 0; begin < members; begin += block) {
    slices.push_back({begin, begin + block});
  }
  return slices;
}

// The blocks of each group (int64 [n]); the last one of a group is filled up with copies of its
// last row.
std::vector<Block> blocks_of(const std::vector<at::Tensor>& groups, const EmbedJob& job) {
  std::vector<Block> blocks;
  for (const at::Tensor& group : groups) {
    const std::int64_t members = group.size(0);
    for (const Slice& slice : slices_of(members, job)) {
      const at::Tensor places =
          at::arange(slice.begin, slice.end, at::kLong).clamp_max(members - 1);
      blocks.push_back(
          {group.index_select(0, places), std::min(slice.size(), members - slice.begin)});
    }
  }
  return blocks;
}

using EmbedBlock = std::function<at::Tensor(const at::Tensor& rows)>;

// Embeds this process's blocks among blocks [begin, end), which are dealt out one by one, and
// writes them into `result`. A block is stored while the device works on the next one.
void embed_own(const std::vector<Block>& blocks, const Slice& range, const EmbedJob& job,
               const EmbedBlock& embed, const at::Tensor& result, Progress& progress) {
  struct Embedded {  // on its way to the host
    at::Tensor rows;
    at::Tensor host;
    Downloads downloads;
  };
  Embedded before;
  const auto store = [&](Embedded next) {
    std::swap(next, before);
    if (!next.rows.defined()) return;
    next.downloads.wait();
    result.index_copy_(0, next.rows, next.host);
    progress.advance(next.rows.size(0));
  };
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    if (i % job.processes.size() != job.processes.rank()) continue;
    if (job.processes.is_alone()) throw_if_stopped(job.stop, stopped_text(job));
    const Block& block = blocks[static_cast<std::size_t>(i)];
    Embedded now{block.rows.narrow(0, 0, block.count), {}, {}};
    const at::Tensor rows = embed(block.rows);
    now.host = now.downloads.start(
        (job.normalizes ? l2_normalized(rows) : rows).narrow(0, 0, block.count));
    store(std::move(now));
  }
  store({});
}

// Adds to `result` what the other processes embedded of blocks [begin, end).
void exchange(const std::vector<Block>& blocks, const Slice& range, const Processes& processes,
              const at::Tensor& result, Progress& progress) {
  std::vector<std::int64_t> counts;
  std::vector<at::Tensor> rows;
  for (int rank = 0; rank < processes.size(); ++rank) {
    std::vector<at::Tensor> theirs{at::empty({0}, at::kLong)};
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const Block& block = blocks[static_cast<std::size_t>(i)];
      if (i % processes.size() == rank) theirs.push_back(block.rows.narrow(0, 0, block.count));
    }
    rows.push_back(at::cat(theirs));
    counts.push_back(rows.back().size(0));
  }
  const at::Tensor all = at::cat(rows);
  const at::Tensor& own = rows[static_cast<std::size_t>(processes.rank())];
  result.index_copy_(0, all, processes.gather_rows(result.index_select(0, own), counts));
  progress.advance(all.size(0) - own.size(0));
}

// Runs `embed` on blocks of rows of each group (int64 [n]). Several processes exchange their rows
// now and then, and agree to go on.
at::Tensor in_blocks(std::int64_t count, const std::vector<at::Tensor>& groups, std::int64_t width,
                     const char* unit, const EmbedJob& job, const EmbedBlock& embed) {
  const at::NoGradGuard guard;
  const Processes& processes = job.processes;
  const std::vector<Block> blocks = blocks_of(groups, job);
  at::Tensor result = at::empty({count, width}, at::kFloat);
  Progress progress(job.log, job.label, unit, count);
  const auto all = static_cast<std::int64_t>(blocks.size());
  const std::int64_t round =
      processes.is_alone() ? std::max<std::int64_t>(1, all) : kBlocksInRound * processes.size();
  for (std::int64_t begin = 0; begin < all; begin += round) {
    const Slice range{begin, std::min(begin + round, all)};
    processes.throw_if_any_stopped(job.stop, stopped_text(job));
    embed_own(blocks, range, job, embed, result, progress);
    if (!processes.is_alone()) exchange(blocks, range, processes, result, progress);
  }
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

at::Tensor pooled_positions(const ClipModel& model, const at::Tensor& ids) {
  const bool pools_last = form_of(model.geometry.family).pools_last_token;
  return end_positions(ids, {pools_last, model.geometry.pooled_id});
}

}  // namespace

std::vector<bool> is_embedded_here(std::int64_t count, const EmbedJob& job) {
  std::vector<bool> here(static_cast<std::size_t>(count), false);
  const std::vector<Slice> slices = slices_of(count, job);
  const auto size = static_cast<std::size_t>(job.processes.size());
  for (auto i = static_cast<std::size_t>(job.processes.rank()); i < slices.size(); i += size) {
    std::fill(here.begin() + slices[i].begin, here.begin() + std::min(slices[i].end, count), true);
  }
  return here;
}

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

double hidden_change(const ClipModel& model, const ClipModel& reference, const at::Tensor& ids,
                     const EmbedJob& job) {
  const at::Device device = model.logit_scale.device();
  const at::Tensor ends = pooled_positions(model, ids);
  EmbedJob as_they_are = job;
  as_they_are.normalizes = false;
  const at::Tensor changes = in_blocks(
      ids.size(0), rows_by_length(ends, ids.size(1)), 1, "captions", as_they_are,
      [&](const at::Tensor& rows) {
        const at::Tensor marks = ends.index_select(0, rows);
        const std::int64_t length = cut_length(marks, ids.size(1));
        const at::Tensor cut = upload(ids.narrow(1, 0, length).index_select(0, rows), device);
        const at::Tensor counts = upload(
            at::arange(length, at::kLong).unsqueeze(0).le(marks.unsqueeze(1)).unsqueeze(2), device);
        const auto states = [&](const ClipModel& of) {
          return text_states(of, cut, mode_of(job)).mul(counts).flatten(1);
        };
        const at::Tensor before = states(reference);
        return (states(model) - before).norm(2, {1}, true) / before.norm(2, {1}, true);
      });
  return changes.mean(at::kDouble).item<double>();
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
  const at::Tensor ends = pooled_positions(model, distinct);
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
