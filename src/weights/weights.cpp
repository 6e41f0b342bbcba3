// The entry points: from options to a checked source, and from a source to a model. Opening reads
// headers only and finds every problem of names and shapes. Loading reads each tensor once and
// checks every number, since one NaN would ruin a run hours later.
#include "saferclip/weights/weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/weights/hub_names.h"
#include "saferclip/weights/peft.h"
#include "saferclip/weights/published_files.h"
#include "weights/layouts.h"
#include "weights/lora_factors.h"
#include "weights/peft_config.h"
#include "weights/random_source.h"
#include "weights/resize_positions.h"
#include "weights/weight_files.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

WeightsSource open_base(const ModelOptions& options) {
  const fs::path path(options.weights);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw WeightsError(
        cat(path.string(), ": no such file or folder (model.weights)",
            hub_help(options.written_weights.empty() ? options.weights : options.written_weights,
                     path)));
  }
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = folder_of(path);
  if (fs::exists(folder / kPeftConfigFile, ignored) && (is_folder || is_lora_file(path))) {
    ModelOptions base = options;
    base.weights = adapter_base(folder).string();
    WeightsSource source = open_base(base);
    merge_adapter(source, path);
    return source;
  }
  return is_folder ? open_folder(path, options) : open_named_file(path, options);
}

constexpr std::int64_t kElementsAtOnce = 1 << 16;  // source and target fit in a core's cache
constexpr std::size_t kBytesUntilRelease = std::size_t{64} << 20U;

// One pass: both NaN and infinity show in the extremes.
bool is_finite(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return true;
  const auto [least, greatest] = at::aminmax(tensor);
  return std::isfinite(least.item<double>()) && std::isfinite(greatest.item<double>());
}

// Converts rows piece by piece and checks each while it is in the cache. False when any number is
// NaN or infinite.
bool copy_finite(const at::Tensor& from, const at::Tensor& to) {
  if (!to.is_cpu() || to.dim() == 0 || to.numel() <= kElementsAtOnce) {
    to.copy_(from);
    return is_finite(to);
  }
  bool is_good = true;
  const std::int64_t rows_at_once =
      std::max<std::int64_t>(1, kElementsAtOnce * to.size(0) / to.numel());
  for (std::int64_t row = 0; row < to.size(0); row += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, to.size(0) - row);
    const at::Tensor part = to.narrow(0, row, rows).copy_(from.narrow(0, row, rows));
    is_good = is_finite(part) && is_good;
  }
  return is_good;
}

// Threads take tensors one by one, so a thread that shares its core with the hashing thread takes
// fewer. The file's pages are released as soon as they are read, so the peak is the model's size
// without the file's.
class Loading {
 public:
  Loading(const WeightsSource& source, ClipModel& model)
      : source_(source), slots_(tensor_slots(model)), is_good_(slots_.size(), 0) {}

  void work() {
    const at::NoGradGuard guard;  // thread-local
    for (std::size_t i = next_++; i < slots_.size(); i = next_++) {
      const at::Tensor value = source_.tensor(slots_[i].name).reshape(slots_[i].shape);
      is_good_[i] = copy_finite(value, slot_view(slots_[i])) ? 1 : 0;
      const std::size_t read = read_ += value.nbytes();
      const bool is_due = read / kBytesUntilRelease != (read - value.nbytes()) / kBytesUntilRelease;
      if (source_.release_pages && (is_due || i + 1 == slots_.size())) source_.release_pages();
    }
  }

  std::vector<std::string> broken() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (is_good_[i] == 0) names.push_back(slots_[i].name);
    }
    return names;
  }

 private:
  const WeightsSource& source_;
  const std::vector<TensorSlot> slots_;
  std::vector<char> is_good_;  // not vector<bool>: threads write neighboring elements
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::size_t> read_ = 0;
};

}  // namespace

std::string to_string(WeightsLayout layout) {
  return layout == WeightsLayout::kRandom ? "random initialization" : layout_of(layout).label;
}

std::string WeightsSource::published_as() const { return published_name(hash()); }

WeightsSource open_weights(const ModelOptions& options, std::uint64_t seed) {
  WeightsSource source =
      options.init.empty() ? open_base(options) : open_random(options.init, options, seed);
  if (!options.adapter.empty()) merge_adapter(source, options.adapter);
  if (options.image_size && *options.image_size != source.geometry.image_size) {
    resize_positions(source, *options.image_size);
  }
  return source;
}

ClipModel load_clip(const WeightsSource& source, at::ScalarType matmul_dtype, at::Device device) {
  ClipModel model = allocate_clip(source.geometry, matmul_dtype, device);
  Loading loading(source, model);
  const int threads = device.is_cpu() ? at::get_num_threads() : 1;
  at::parallel_for(0, threads, 1, [&](std::int64_t, std::int64_t) { loading.work(); });
  const std::vector<std::string> broken = loading.broken();
  if (!broken.empty()) {
    throw WeightsError(
        join_problems(cat(source.path.string(), ": NaN or infinity in:"), shortened(broken, 12)));
  }
  return model;
}

std::string model_hash(ClipModel& model) {
  Sha256 hash;
  for (const TensorSlot& slot : tensor_slots(model)) {
    const at::Tensor value = slot_view(slot).detach().to(at::kCPU).contiguous();
    hash.add(slot.name).update(value.const_data_ptr(), value.nbytes());
  }
  return hash.hex();
}

}  // namespace saferclip
