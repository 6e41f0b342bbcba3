#include "gpu/layer_parity.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>

#include "saferclip/core/text_format.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/model/trained.h"
#include "saferclip/train/step.h"
#include "support/tiny_batch.h"

namespace saferclip {
namespace {

using Kind = ParityRow::Kind;

constexpr int kSteps = 3;

// What both devices start from, on the CPU in fp32.
struct Inputs {
  Batch batch;
  at::Tensor vision;  // of the first vision block, [B, L, D]
  at::Tensor text;
};

struct Value {
  Kind kind = Kind::kOutput;
  std::string part;
  at::Tensor tensor;  // fp32 on the CPU
};

at::Tensor on_cpu(const at::Tensor& tensor) { return tensor.detach().to(at::kCPU, at::kFloat); }

at::Tensor first_vision_input(const ClipModel& model, const Preprocessing& preprocessing,
                              const at::Tensor& pixels) {
  const VisionTower& tower = model.vision;
  const std::int64_t patch = model.geometry.patch_size;
  const at::Tensor kernel = tower.patch_embedding.weight.view({-1, 3, patch, patch});
  at::Tensor x = at::conv2d(normalise_pixels(pixels, preprocessing).contiguous(), kernel,
                            tower.patch_embedding.bias, patch)
                     .flatten(2)
                     .transpose(1, 2);
  if (tower.class_embedding.defined()) {
    x = at::cat({tower.class_embedding.view({1, 1, -1}).expand({x.size(0), 1, -1}), x}, 1);
  }
  x = x + tower.position_embedding;
  return tower.pre_norm.weight.defined() ? layer_norm(tower.pre_norm, x) : x;
}

Inputs make_inputs(const WeightsSource& source, std::int64_t rows) {
  const ClipModel model = load_clip(source);
  const at::NoGradGuard guard;
  Inputs inputs{tiny_batch(rows, source.geometry), {}, {}};
  inputs.vision = first_vision_input(model, source.preprocessing, inputs.batch.safe_pixels);
  const at::Tensor& ids = inputs.batch.safe_ids;
  inputs.text = at::embedding(model.text.token_embedding, ids.to(at::kLong)) +
                model.text.position_embedding.narrow(0, 0, ids.size(1));
  return inputs;
}

// Each block's input is what this device's blocks before it gave.
void add_outputs(std::vector<Value>& values, const char* tower, const Transformer& transformer,
                 const at::Tensor& first, at::Device device, at::ScalarType compute) {
  const at::NoGradGuard guard;
  const ForwardMode mode{compute};
  at::Tensor x = first.to(device, compute);
  Transformer one = transformer;
  for (std::size_t i = 0; i < transformer.blocks.size(); ++i) {
    one.blocks = {transformer.blocks[i]};
    x = transformer_tokens(one, x, 1, mode);
    values.push_back({Kind::kOutput, cat("output ", tower, " ", i), on_cpu(x)});
  }
}

// "vision 3" of "base_model.model.vision_model.encoder.layers.3.mlp.fc1.lora_A.weight".
std::string block_of(const std::string& name) {
  const std::string tower = name.find("vision_model") != std::string::npos ? "vision" : "text";
  const std::string word = ".layers.";
  const std::size_t at = name.find(word);
  if (at == std::string::npos) return tower + " outside the blocks";
  const std::size_t begin = at + word.size();
  return cat(tower, " ", name.substr(begin, name.find('.', begin) - begin));
}

void add_gradients(std::vector<Value>& values, const std::vector<TrainedParameter>& parameters) {
  std::map<std::string, std::vector<at::Tensor>> blocks;
  for (const TrainedParameter& p : parameters) {
    if (!p.tensor.grad().defined()) continue;
    blocks[block_of(p.parts.front().name)].push_back(on_cpu(p.tensor.grad()).flatten());
  }
  for (const auto& [block, gradients] : blocks) {
    values.push_back({Kind::kGradient, "gradient " + block, at::cat(gradients)});
  }
}

void randomize_b(const std::vector<TrainedParameter>& parameters) {
  at::manual_seed(4);
  for (const TrainedParameter& p : parameters) {
    if (p.parts.front().name.find("lora_B") == std::string::npos) continue;
    p.tensor.detach().copy_(at::randn(p.tensor.sizes()) * 0.02);
  }
}

void add_steps(std::vector<Value>& values, ClipModel& model,
               const std::vector<TrainedParameter>& parameters, const Batch& batch,
               const StepOptions& options) {
  Optimizer optimizer({}, parameters);
  for (int step = 1; step <= kSteps; ++step) {
    const StepNumbers numbers = train_step(model, optimizer, batch, options, 1e-4);
    const std::string of_step = cat(" of step ", step);
    values.push_back({Kind::kLoss, "loss" + of_step, on_cpu(numbers.loss)});
    values.push_back({Kind::kGradient, "gradient norm" + of_step, on_cpu(numbers.grad_norm)});
    if (step > 1) continue;
    for (const auto& [name, term] : numbers.terms) {
      values.push_back({Kind::kLoss, cat("term ", name), on_cpu(term)});
    }
    add_gradients(values, parameters);
  }
}

std::vector<Value> values_on(at::Device device, at::ScalarType compute, const Inputs& inputs,
                             const WeightsSource& source, AdapterMethod method) {
  AdapterOptions adapter;
  adapter.method = method;
  const bool has_bf16_weights = method == AdapterMethod::kLora && compute == at::kBFloat16;
  ClipModel model = load_clip(source, has_bf16_weights ? at::kBFloat16 : at::kFloat, device);
  const auto parameters = make_trainable(model, {}, adapter, 3);
  randomize_b(parameters);
  std::vector<Value> values;
  add_outputs(values, "vision", model.vision.transformer, inputs.vision, device, compute);
  add_outputs(values, "text", model.text.transformer, inputs.text, device, compute);
  const Batch batch = move_batch(inputs.batch, device);
  {
    const at::NoGradGuard guard;
    const at::Tensor image =
        encode_images(model, source.preprocessing, batch.safe_pixels, ForwardMode{compute});
    const at::Tensor text =
        encode_texts(model, batch.safe_ids, batch.safe_ends, ForwardMode{compute});
    values.push_back({Kind::kOutput, "embeddings vision", on_cpu(image)});
    values.push_back({Kind::kOutput, "embeddings text", on_cpu(text)});
  }
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.preprocessing = source.preprocessing;
  options.compute = compute;
  std::optional<ComputeCopies> copies;
  if (device.is_cuda()) copies.emplace(copied_tensors(model, compute), compute);
  options.copies = copies ? &*copies : nullptr;
  add_steps(values, model, parameters, batch, options);
  return values;
}

double relative_difference(const Value& value, const Value& expected) {
  at::Tensor a = value.tensor.to(at::kDouble);
  at::Tensor b = expected.tensor.to(at::kDouble);
  const std::int64_t width = value.kind == Kind::kOutput ? b.size(-1) : b.numel();
  a = a.reshape({-1, width});
  b = b.reshape({-1, width});
  const at::Tensor norm = b.norm(2, {1});
  const at::Tensor difference = (a - b).norm(2, {1});
  // Without a gradient there is nothing to be relative to.
  return at::where(difference == 0, difference, difference / norm).max().item<double>();
}

}  // namespace

double ParityRow::fp32_bound() const { return kind == Kind::kGradient ? 1e-3 : 1e-4; }

double ParityRow::bf16_bound() const {
  switch (kind) {
    case Kind::kOutput:
      return 0.05;
    case Kind::kLoss:
      return 0.02;
    case Kind::kGradient:
      return 0.2;
  }
  return 0;
}

std::vector<ParityRow> layer_parity(const WeightsSource& source, std::int64_t rows,
                                    AdapterMethod method, at::Device device, CpuBf16 cpu_bf16) {
  const Inputs inputs = make_inputs(source, rows);
  const auto on = [&](at::Device where, at::ScalarType compute) {
    return values_on(where, compute, inputs, source, method);
  };
  const std::vector<Value> expected = on(at::kCPU, at::kFloat);
  const std::vector<Value> fp32 = on(device, at::kFloat);
  const std::vector<Value> bf16 = on(device, at::kBFloat16);
  std::vector<Value> cpu;
  if (cpu_bf16 == CpuBf16::kMeasure) cpu = on(at::kCPU, at::kBFloat16);
  std::vector<ParityRow> found;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Value& value = expected[i];
    ParityRow row{value.kind,
                  value.part,
                  relative_difference(fp32[i], value),
                  relative_difference(bf16[i], value),
                  {}};
    if (!cpu.empty()) row.cpu_bf16 = relative_difference(cpu[i], value);
    found.push_back(row);
  }
  return found;
}

}  // namespace saferclip
