// Embeds with the frozen model in full blocks, whose size follows from geometry and device alone. A
// row's bits then do not depend on its list, so artifacts of one recipe can copy rows from each
// other. The model is loaded only if some row is new.
#include "prepare/reference_rows.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>

#include <algorithm>

#include "saferclip/core/matmul.h"
#include "saferclip/core/text_format.h"
#include "saferclip/prepare/embedding.h"

namespace saferclip {
namespace {

// Pictures per block: enough tokens to keep the products busy, but few, because a short list is
// padded to a whole block. Depends on geometry and device alone, so all artifacts of a recipe
// agree.
std::int64_t pictures_at_once(const ClipGeometry& geometry, at::Device device) {
  constexpr std::int64_t kMost = 64, kFewest = 8, kTokens = 2100;
  std::int64_t block = kMost;
  while (device.is_cpu() && block > kFewest && block * geometry.positions() > kTokens) block /= 2;
  return block;
}

}  // namespace

std::string device_text(at::Device device, bool is_tf32) {
  if (device.is_cpu()) return "cpu " + at::get_cpu_capability();
  return is_tf32 ? "cuda tf32" : "cuda";
}

ReferenceRows::ReferenceRows(ReferenceRequest request, const std::vector<Relative>& relatives,
                             Logger& log)
    : request_(std::move(request)),
      log_(log),
      known_(relatives, request_.source.geometry.embed_dim, log) {}

// "reference, train unsafe": names the half of a split.
std::string ReferenceRows::label_of(const std::string& name) const {
  const std::size_t end = name.find('_');
  return end == std::string::npos ? request_.label : cat(request_.label, " ", name.substr(0, end));
}

EmbedJob ReferenceRows::job_of(const std::string& name) const {
  EmbedJob job{log_, label_of(name)};
  job.stop = request_.stop;
  job.fills_blocks = true;
  job.processes = request_.builders.processes;
  return job;
}

void ReferenceRows::add_captions(const std::string& name, const at::Tensor& ids) {
  add(name, row_digests(ids), [&](const at::Tensor& positions) {
    return embed_ids(request_.model(), ids.index_select(0, positions), job_of(name));
  });
}

void ReferenceRows::add_pictures(const std::string& name, const at::Tensor& pixels,
                                 const at::Tensor& digests) {
  EmbedJob job = job_of(name);
  job.block = pictures_at_once(request_.source.geometry, request_.device);
  add(name, digests, [&](const at::Tensor& positions) {
    return embed_pixels(request_.model(), request_.source.preprocessing, pixels, positions, job);
  });
}

// The first writer knows which rows are new, and tells the others.
at::Tensor ReferenceRows::embed_together(const at::Tensor& digests, const EmbedNew& embed_new) {
  const Builders& builders = request_.builders;
  const std::int64_t width = request_.source.geometry.embed_dim;
  const EmbedNew embed = [&](const at::Tensor& positions) {
    const at::Tensor all = builders.processes.gather_rows(positions);
    return all.size(0) == 0 ? at::empty({0, width}, at::kFloat) : embed_new(all);
  };
  at::Tensor rows;
  if (builders.is_first_writer()) {
    rows = known_.embed(digests, embed);
  } else {
    embed(at::empty({0}, at::kLong));
    rows = at::empty({digests.size(0), width}, at::kFloat);
  }
  if (builders.writers.size() > 1) builders.processes.broadcast_(rows, builders.writers.front());
  return rows;
}

void ReferenceRows::add(const std::string& name, const at::Tensor& digests,
                        const EmbedNew& embed_new) {
  const Tf32Products products(request_.is_tf32);
  append_with_source(tensors_, name, embed_together(digests, embed_new), digests);
  const std::vector<bool>& known = known_.was_known();
  is_taken_.resize(known.size(), true);
  for (std::size_t i = 0; i < known.size(); ++i) is_taken_[i] = is_taken_[i] && known[i];
}

std::int64_t ReferenceRows::new_rows() const {
  return std::count(is_taken_.begin(), is_taken_.end(), false);
}

std::vector<NamedTensor> ReferenceRows::finish() {
  const auto taken = std::count(is_taken_.begin(), is_taken_.end(), true);
  if (const std::string from = known_.taken_from(); taken > 0 && !from.empty()) {
    log_.info(cat(request_.label, ": ", with_commas(taken), " of ",
                  with_commas(static_cast<std::int64_t>(is_taken_.size())), " rows reused from ",
                  from));
  }
  return std::move(tensors_);
}

}  // namespace saferclip
