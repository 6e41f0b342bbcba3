#include "bench/bench_step.h"

#include <ATen/ATen.h>

#include <cmath>

#include "saferclip/core/error.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/model/trained.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

Batch read_bench_batch(const std::string& path) {
  const auto file = SafetensorsFile::open(path);
  const auto read = [&](const char* name) { return file.tensor(name).clone(); };
  Batch b;
  b.safe_pixels = read("safe_pixels");
  b.unsafe_pixels = read("unsafe_pixels");
  const std::int64_t rows = b.safe_pixels.size(0);
  for (std::int64_t i = 0; i < rows; ++i) b.rows.push_back(i);
  b.unsafe_rows = at::arange(rows, at::kLong);
  b.unsafe_positions = b.rows;
  b.has_unsafe_image = b.is_redirected = at::ones({rows});
  b.redirected_rows = b.redirected_rows_with_unsafe_image = static_cast<double>(rows);
  b.safe_ids = read("safe_ids");
  b.unsafe_ids = read("unsafe_ids");
  b.safe_ends = end_positions(b.safe_ids, {});
  b.unsafe_ends = end_positions(b.unsafe_ids, {});
  const std::int64_t length = cut_length(at::cat({b.safe_ends, b.unsafe_ends}), b.safe_ids.size(1));
  b.safe_ids = b.safe_ids.narrow(1, 0, length);
  b.unsafe_ids = b.unsafe_ids.narrow(1, 0, length);
  b.reference.safe_text = read("reference_safe_text");
  b.reference.safe_image = read("reference_safe_image");
  b.reference.unsafe_text = read("reference_unsafe_text");
  b.reference.unsafe_image = read("reference_unsafe_image");
  b.target_text = read("target_text");
  b.target_image = read("target_image");
  return b;
}

void write_bench_batch(const std::string& path, const ClipGeometry& geometry, std::int64_t rows,
                       std::int64_t longest) {
  at::manual_seed(0);
  std::vector<NamedTensor> tensors;
  const std::int64_t end = geometry.vocab_size - 1;
  for (const std::string kind : {"safe", "unsafe"}) {
    const at::Tensor ids = at::zeros({rows, geometry.context_length}, at::kInt);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t length = longest - row % 5;
      const at::Tensor caption = ids.select(0, row).narrow(0, 0, length);
      caption.copy_(at::randint(0, end - 1, {length}, at::kInt));
      caption[0].fill_(end - 1);
      caption[length - 1].fill_(end);
    }
    const std::int64_t side = geometry.image_size;
    tensors.push_back({kind + "_ids", ids});
    tensors.push_back({kind + "_pixels", at::randint(0, 256, {rows, side, side, 3}, at::kByte)});
  }
  for (const char* name : {"reference_safe_text", "reference_safe_image", "reference_unsafe_text",
                           "reference_unsafe_image", "target_text", "target_image"}) {
    tensors.push_back({name, at::randn({rows, geometry.embed_dim})});
  }
  write_safetensors(path, tensors);
}

AdapterMethod bench_method(const std::string& word) {
  if (word != "lora" && word != "full") throw ConfigError(word + ": expected lora or full");
  return word == "lora" ? AdapterMethod::kLora : AdapterMethod::kFull;
}

at::ScalarType bench_precision(const std::string& word) {
  if (word != "bf16" && word != "fp32") throw ConfigError(word + ": expected bf16 or fp32");
  return word == "bf16" ? at::kBFloat16 : at::kFloat;
}

BenchStep::BenchStep(const std::string& weights, const Batch& batch, AdapterMethod method,
                     at::ScalarType compute, at::Device device)
    : batch_(move_batch(batch, device)) {
  ModelOptions model_options;
  model_options.weights = weights;
  AdapterOptions adapter;
  adapter.method = method;
  const bool has_bf16_weights = method == AdapterMethod::kLora && compute == at::kBFloat16;
  const auto source = open_weights(model_options, 0);
  model_ = load_clip(source, has_bf16_weights ? at::kBFloat16 : at::kFloat, device);
  parameters_ = make_trainable(model_, model_options, adapter, 1);
  const auto captions = static_cast<std::int64_t>(2 * batch.rows.size());
  pack_frozen_weights(model_, captions, captions, compute);
  if (device.is_cuda()) copies_.emplace(copied_tensors(model_, compute), compute);
  optimizer_.emplace(OptimizerOptions{}, parameters_);
  options_.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options_.preprocessing = source.preprocessing;
  options_.infonce_scale = std::exp(model_.logit_scale.item<double>());
  options_.compute = compute;
  options_.copies = copies_ ? &*copies_ : nullptr;
}

StepNumbers BenchStep::run() {
  StepNumbers numbers = train_step(model_, *optimizer_, batch_, options_, 1e-4);
  ++batch_.step;
  return numbers;
}

}  // namespace saferclip
