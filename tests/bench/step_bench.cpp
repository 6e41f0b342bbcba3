// Training steps of SaFeR-CLIP on given weights and one given batch: seconds, losses and peak
// memory as JSON, for step.py.
//   step_bench WEIGHTS BATCH.safetensors lora|full bf16|fp32 STEPS THREADS [MICRO_BATCH|blocks]
// A micro-batch comes with the gradient cache; `blocks` recomputes the blocks.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "saferclip/core/memory.h"
#include "saferclip/data/batch.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/model/trained.h"
#include "saferclip/train/step.h"
#include "saferclip/weights/weights.h"

namespace {

using saferclip::Batch;

Batch read_batch(const std::string& path) {
  const auto file = saferclip::SafetensorsFile::open(path);
  const auto read = [&](const char* name) { return file.tensor(name).clone(); };
  Batch b;
  b.safe_pixels = read("safe_pixels");
  b.unsafe_pixels = read("unsafe_pixels");
  const std::int64_t rows = b.safe_pixels.size(0);
  for (std::int64_t i = 0; i < rows; ++i) b.rows.push_back(i);
  b.unsafe_rows = at::arange(rows, at::kLong);
  for (std::int64_t i = 0; i < rows; ++i) b.unsafe_positions.push_back(i);
  b.has_unsafe_image = b.is_redirected = at::ones({rows});
  b.redirected_rows = b.redirected_rows_with_unsafe_image = static_cast<double>(rows);
  b.safe_ids = read("safe_ids");
  b.unsafe_ids = read("unsafe_ids");
  b.safe_ends = saferclip::end_positions(b.safe_ids, {});
  b.unsafe_ends = saferclip::end_positions(b.unsafe_ids, {});
  const std::int64_t length =
      saferclip::cut_length(at::cat({b.safe_ends, b.unsafe_ends}), b.safe_ids.size(1));
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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) return 2;
  const bool is_lora = std::string(argv[3]) == "lora";
  const bool is_bf16 = std::string(argv[4]) == "bf16";
  at::set_num_threads(std::atoi(argv[6]));
  saferclip::ModelOptions model_options;
  model_options.weights = argv[1];
  saferclip::AdapterOptions adapter;
  adapter.method = is_lora ? saferclip::AdapterMethod::kLora : saferclip::AdapterMethod::kFull;
  const auto source = saferclip::open_weights(model_options, 0);
  saferclip::ClipModel model =
      saferclip::load_clip(source, is_lora && is_bf16 ? at::kBFloat16 : at::kFloat);
  const auto parameters = saferclip::make_trainable(model, model_options, adapter, 1);
  const at::ScalarType compute = is_bf16 ? at::kBFloat16 : at::kFloat;
  Batch batch = read_batch(argv[2]);
  const auto captions = static_cast<std::int64_t>(2 * batch.rows.size());
  saferclip::pack_frozen_weights(model, captions, captions, compute);
  saferclip::OptimizerOptions adam;
  saferclip::Optimizer optimizer(adam, parameters);
  saferclip::StepOptions options;
  options.objective = saferclip::ObjectiveOptions::preset(saferclip::ObjectiveName::kSaferClip);
  options.preprocessing = source.preprocessing;
  options.infonce_scale = std::exp(model.logit_scale.item<double>());
  options.compute = compute;
  if (argc == 8 && std::string(argv[7]) == "blocks") {
    options.train.recompute = saferclip::Recompute::kBlocks;
  } else if (argc == 8) {
    options.train.micro_batch_size = std::atoi(argv[7]);
    options.train.gradient_cache = true;
  }
  saferclip::keep_freed_memory();
  nlohmann::json seconds = nlohmann::json::array();
  nlohmann::json losses = nlohmann::json::array();
  for (int step = 0; step < std::atoi(argv[5]); ++step) {
    batch.step = step;
    const auto begin = std::chrono::steady_clock::now();
    const auto numbers = saferclip::train_step(model, optimizer, batch, options, 1e-4);
    losses.push_back(numbers.loss.item<double>());
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::cout << nlohmann::json{{"seconds", seconds},
                              {"losses", losses},
                              {"peak_mib", (saferclip::peak_memory_bytes() >> 20U)}}
            << '\n';
  return 0;
}
