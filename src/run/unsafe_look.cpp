// The rows are few, because their captions are embedded anew for each search.
#include "saferclip/run/unsafe_look.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/run/embed_rows.h"

namespace saferclip {
namespace {

constexpr std::size_t kMostRows = 500;

using Captions = std::vector<std::string>;

// The safe and the unsafe captions, one of each per row.
std::pair<Captions, Captions> captions_of(const DataOptions& data) {
  const Manifest manifest = read_manifest(
      manifest_request(data, split_source(data, "train"), UnsafeHalf::kIfAnyRowHasOne));
  if (!manifest.has_unsafe) throw DataError("its training rows have no unsafe captions");
  const std::size_t rows = manifest.rows.size(), count = std::min(rows, kMostRows);
  std::pair<Captions, Captions> captions;
  for (std::size_t i = 0; i < count; ++i) {
    const ManifestRow& row = manifest.rows[i * rows / count];
    captions.first.push_back(row.safe_caption);
    captions.second.push_back(row.unsafe_caption);
  }
  return captions;
}

}  // namespace

std::optional<std::vector<bool>> looks_unsafe(const Session& session, const ClipModel& model,
                                              const at::Tensor& images, Logger& log,
                                              const StopFlag& stop) try {
  const auto [safe, unsafe] = captions_of(session.config.data);
  const auto best = [&](const Captions& texts) {
    const at::Tensor rows = embed_rows(session, model, {{}, texts}, log, stop)[0].tensor;
    return std::get<0>(at::mm(images, rows.t()).max(1));
  };
  const at::Tensor is_unsafe = best(unsafe).gt(best(safe));
  const bool* values = is_unsafe.const_data_ptr<bool>();
  std::vector<bool> result(values, values + is_unsafe.numel());
  log.info(cat(with_commas(std::count(result.begin(), result.end(), true)), " of ",
               with_commas(images.size(0)), " images look unsafe: nearest to an unsafe caption of ",
               with_commas(static_cast<std::int64_t>(safe.size())), " training rows"));
  return result;
} catch (const DataError& problem) {
  log.warn(cat("which images look unsafe is unknown: ", problem.what()));
  return std::nullopt;
}

}  // namespace saferclip
