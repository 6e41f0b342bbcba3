#include "bench/step_work.h"

#include <algorithm>
#include <string>

namespace saferclip {
namespace {

struct Layer {
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t count = 0;
};

enum class InputGradient { kNeeded, kNotNeeded };

class Counter {
 public:
  explicit Counter(const AdapterOptions& adapter) : adapter_(adapter) {}

  // `is_trained`: by method full; the projections stay as they are.
  void add(const Layer& layer, InputGradient input, bool is_trained) {
    push(ProductKind::kForward, layer);
    if (input == InputGradient::kNeeded) push(ProductKind::kInputGradient, layer);
    if (is_trained && !is_lora()) push(ProductKind::kWeightGradient, layer);
  }

  // Forward: X·Aᵀ and ·Bᵀ. Backward: dY·B, dA, dB, and A's share of dX.
  void add_adapter(const char* target, const Layer& layer, InputGradient input) {
    const auto& targets = adapter_.targets;
    if (!is_lora() || std::find(targets.begin(), targets.end(), target) == targets.end()) return;
    const auto products_with_a = input == InputGradient::kNeeded ? 3.0 : 2.0;
    work_.adapters += 2.0 * static_cast<double>(layer.count * layer.rows * adapter_.rank) *
                      (products_with_a * static_cast<double>(layer.inputs) +
                       3.0 * static_cast<double>(layer.outputs));
  }

  void add_attention(const TowerGeometry& tower, std::int64_t batch, std::int64_t length) {
    work_.attention +=
        6.0 * 2.0 * static_cast<double>(tower.layers * batch * length * length * tower.width);
  }

  bool is_lora() const { return adapter_.method == AdapterMethod::kLora; }
  StepWork take() { return std::move(work_); }

 private:
  void push(ProductKind kind, const Layer& layer) {
    if (layer.count > 0) {
      work_.products.push_back({kind, layer.rows, layer.inputs, layer.outputs, layer.count});
    }
  }

  const AdapterOptions& adapter_;
  StepWork work_;
};

// `first`: of the first block's input; frozen embeddings need no gradient.
void add_blocks(Counter& counter, const TowerGeometry& tower, std::int64_t batch,
                std::int64_t length, bool picks_token, InputGradient first) {
  const std::int64_t rows = batch * length;
  const std::int64_t w = tower.width;
  const auto add_qkv = [&](std::int64_t count, InputGradient input) {
    counter.add({rows, w, 3 * w, count}, input, true);
    for (const char* target : {"q_proj", "k_proj", "v_proj"}) {
      counter.add_adapter(target, {rows, w, w, count}, input);
    }
  };
  const auto add_rest = [&](std::int64_t rest_rows, std::int64_t count) {
    const auto add = [&](const char* target, std::int64_t inputs, std::int64_t outputs) {
      const Layer layer{rest_rows, inputs, outputs, count};
      counter.add(layer, InputGradient::kNeeded, true);
      counter.add_adapter(target, layer, InputGradient::kNeeded);
    };
    add("out_proj", w, w);
    add("fc1", w, tower.mlp_width);
    add("fc2", tower.mlp_width, w);
  };
  add_qkv(1, first);
  add_qkv(tower.layers - 1, InputGradient::kNeeded);
  add_rest(rows, tower.layers - 1);
  add_rest(picks_token ? batch : rows, 1);
  counter.add_attention(tower, batch, length);
}

}  // namespace

double StepWork::product_flops() const {
  double sum = 0;
  for (const LayerProduct& product : products) sum += product.flops();
  return sum;
}

StepWork step_work(const ClipGeometry& geometry, const AdapterOptions& adapter,
                   std::int64_t pictures, std::int64_t captions, std::int64_t text_length) {
  Counter counter(adapter);
  const FamilyForm& form = form_of(geometry.family);
  const std::int64_t patch_values = 3 * geometry.patch_size * geometry.patch_size;
  const Layer patches{pictures * geometry.grid() * geometry.grid(), patch_values,
                      geometry.vision.width, 1};
  counter.add(patches, InputGradient::kNotNeeded, true);
  counter.add_adapter("patch_embedding", patches, InputGradient::kNotNeeded);
  add_blocks(counter, geometry.vision, pictures, geometry.positions(), form.has_class_token,
             InputGradient::kNeeded);
  add_blocks(counter, geometry.text, captions, text_length, true,
             counter.is_lora() ? InputGradient::kNotNeeded : InputGradient::kNeeded);
  if (form.has_vision_projection) {
    counter.add({pictures, geometry.vision.width, geometry.embed_dim, 1}, InputGradient::kNeeded,
                false);
  }
  counter.add({captions, geometry.text.width, geometry.embed_dim, 1}, InputGradient::kNeeded,
              false);
  return counter.take();
}

}  // namespace saferclip
