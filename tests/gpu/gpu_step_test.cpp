// Whole optimization steps on a CUDA device beside the CPU: losses, gradients, and that a step
// neither waits for the device nor uploads from pageable memory. On a card the counts are not
// known; there only the numbers are compared.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gpu/fake_cuda.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/crops.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/model/trained.h"
#include "saferclip/train/augment.h"
#include "saferclip/train/step.h"
#include "saferclip/weights/weights.h"
#include "support/tiny_batch.h"

namespace saferclip {
namespace {

struct Setting {
  const char* name;
  const char* model = "quick_gelu";
  AdapterMethod method = AdapterMethod::kLora;
  std::optional<std::int64_t> micro_batch_size = {};
  bool gradient_cache = false;
  Recompute recompute = Recompute::kNothing;
  double dropout = 0;
  bool crops = false;
  int device = 0;
  at::ScalarType compute = at::kFloat;
};

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

class GpuStep : public ::testing::TestWithParam<Setting> {
 protected:
  struct Result {
    double loss = 0;
    double grad_norm = 0;
    at::Tensor gradients;
  };

  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
    if (GetParam().device >= static_cast<int>(at::getNumGPUs())) GTEST_SKIP() << "one CUDA device";
    ModelOptions options;
    options.weights = std::string(SAFERCLIP_FIXTURES "/model/") + GetParam().model;
    source_ = open_weights(options, 0);
  }

  StepOptions step_options() const {
    const Setting& s = GetParam();
    StepOptions options;
    options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
    options.preprocessing = source_.preprocessing;
    options.compute = s.compute;
    options.train.micro_batch_size = s.micro_batch_size;
    options.train.gradient_cache = s.gradient_cache;
    options.train.recompute = s.recompute;
    options.train.grad_clip = 1e3;
    return options;
  }

  Batch rows(at::Device device) const {
    Batch batch = tiny_batch(5, source_.geometry);
    if (!GetParam().crops) return move_batch(batch, device);
    batch.safe_boxes =
        crop_boxes(1, batch.step, batch.rows, PictureColumn::kSafe, HostMemory::kPageable);
    batch.unsafe_boxes =
        crop_boxes(1, batch.step, {0, 2, 3}, PictureColumn::kUnsafe, HostMemory::kPageable);
    const ClipModel reference = load_clip(source_, at::kFloat, device);
    return augment_batch(move_batch(batch, device), {&reference, source_.preprocessing, 5, true});
  }

  Result step(at::Device device) {
    const Setting& s = GetParam();
    ClipModel model = load_clip(source_, at::kFloat, device);
    AdapterOptions adapter;
    adapter.method = s.method;
    adapter.rank = 2;
    const auto parameters = make_trainable(model, {}, adapter, 3);
    for (const TrainedParameter& p : parameters) p.tensor.detach().add_(0.02);
    for (LinearSlot& slot : linear_slots(model)) slot.layer->lora_dropout = s.dropout;
    Optimizer optimizer(
        {}, parameters,
        s.compute == at::kHalf ? Optimizer::Scaling::kDynamic : Optimizer::Scaling::kNone);
    StepOptions options = step_options();
    std::optional<ComputeCopies> copies;
    if (device.is_cuda()) copies.emplace(copied_tensors(model, s.compute), s.compute);
    options.copies = copies ? &*copies : nullptr;
    const Batch batch = rows(device);
    // What is made once is made here; in fp16 the loss scale falls to one that fits.
    for (int i = 0; i < 20; ++i) {
      const StepNumbers first = train_step(model, optimizer, batch, options, 0);
      if (!first.is_skipped.defined() || first.is_skipped.item<float>() == 0) break;
    }
    if (device.is_cuda() && fake_.is_there()) fake_.reset();
    const StepNumbers numbers = train_step(model, optimizer, batch, options, 1e-4);
    if (device.is_cuda() && fake_.is_there()) expect_no_waits();
    std::vector<at::Tensor> flat;
    for (const TrainedParameter& p : parameters) {
      if (p.tensor.grad().defined()) flat.push_back(p.tensor.grad().flatten().to(at::kCPU));
    }
    return {numbers.loss.item<double>(), numbers.grad_norm.item<double>(), at::cat(flat)};
  }

  void expect_no_waits() const {
    for (const char* kind : {"items", "waiting_uploads", "waiting_downloads", "other_waits",
                             "pageable_uploads", "event_waits"}) {
      EXPECT_EQ(fake_.count(kind), 0U) << kind << " in a step";
    }
    EXPECT_GT(fake_.count("launches"), 0U);
    RecordProperty("launches", std::to_string(fake_.count("launches")));
  }

  WeightsSource source_;
  FakeCuda fake_;
};

TEST_P(GpuStep, FollowsTheCpu) {
  const Setting& s = GetParam();
  const Result gpu = step(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(s.device)));
  ASSERT_TRUE(std::isfinite(gpu.loss));
  if (s.dropout > 0) return;  // its masks come from the device's own generator
  const Result cpu = step(at::kCPU);
  const bool is_exact = s.compute == at::kFloat;
  EXPECT_NEAR(gpu.loss, cpu.loss, (is_exact ? 1e-5 : 2e-2) * std::abs(cpu.loss));
  EXPECT_NEAR(gpu.grad_norm, cpu.grad_norm, (is_exact ? 1e-4 : 5e-2) * cpu.grad_norm);
  EXPECT_LE(((gpu.gradients - cpu.gradients).norm() / cpu.gradients.norm()).item<double>(),
            is_exact ? 1e-4 : 0.1);
}

// Launches of a step at the depth of real models, whose width does not count.
std::uint64_t launches(std::int64_t vision_layers, AdapterMethod method) {
  const at::Device device(at::kCUDA, 0);
  ClipGeometry geometry;
  geometry.vision = {16, vision_layers, 2, 32, Activation::kQuickGelu};
  geometry.text = {16, 12, 2, 32, Activation::kQuickGelu};
  geometry.embed_dim = 8;
  geometry.image_size = 16;
  geometry.patch_size = 8;
  geometry.context_length = 16;
  geometry.vocab_size = 60;
  const bool is_lora = method == AdapterMethod::kLora;
  ClipModel model = allocate_clip(geometry, is_lora ? at::kBFloat16 : at::kFloat, device);
  for (const TensorSlot& slot : tensor_slots(model)) slot_view(slot).fill_(0.01);
  AdapterOptions adapter;
  adapter.method = method;
  const auto parameters = make_trainable(model, {}, adapter, 3);
  ComputeCopies copies(copied_tensors(model, at::kBFloat16), at::kBFloat16);
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.compute = at::kBFloat16;
  options.copies = &copies;
  Optimizer optimizer({}, parameters);
  const Batch batch = move_batch(tiny_batch(5, geometry), device);
  const FakeCuda fake;
  train_step(model, optimizer, batch, options, 1e-4);
  fake.reset();
  train_step(model, optimizer, batch, options, 1e-4);
  return fake.count("launches");
}

TEST(GpuLaunches, StayWithinTheBudget) {
  if (!FakeCuda().is_there()) GTEST_SKIP() << "only the fake device counts launches";
  const auto expect_at_most = [](std::uint64_t budget, std::int64_t layers, AdapterMethod method) {
    const std::uint64_t count = launches(layers, method);
    const std::string name = cat(word_of(method), "_", layers, "_12");
    ::testing::Test::RecordProperty(name, std::to_string(count));
    EXPECT_LE(count, budget) << name;
  };
  expect_at_most(2600, 24, AdapterMethod::kLora);
  expect_at_most(1900, 12, AdapterMethod::kLora);
  expect_at_most(2200, 24, AdapterMethod::kFull);
  expect_at_most(1650, 12, AdapterMethod::kFull);
}

constexpr AdapterMethod kFull = AdapterMethod::kFull;
constexpr Recompute kBlocks = Recompute::kBlocks;

INSTANTIATE_TEST_SUITE_P(
    GpuSteps, GpuStep,
    ::testing::Values(
        Setting{.name = "lora"}, Setting{.name = "full", .method = kFull},
        Setting{.name = "siglip_lora", .model = "siglip"},
        Setting{.name = "siglip_full", .model = "siglip", .method = kFull},
        Setting{.name = "micro", .micro_batch_size = 2},
        Setting{.name = "micro_full", .method = kFull, .micro_batch_size = 2},
        Setting{.name = "cache", .micro_batch_size = 2, .gradient_cache = true},
        Setting{.name = "blocks", .recompute = kBlocks},
        Setting{.name = "blocks_full", .method = kFull, .recompute = kBlocks},
        Setting{.name = "dropout", .dropout = 0.25},
        Setting{.name = "dropout_blocks", .recompute = kBlocks, .dropout = 0.25},
        Setting{.name = "crops", .crops = true}, Setting{.name = "second", .device = 1},
        Setting{.name = "bf16", .compute = at::kBFloat16},
        Setting{.name = "bf16_full", .method = kFull, .compute = at::kBFloat16},
        Setting{.name = "bf16_siglip", .model = "siglip", .compute = at::kBFloat16},
        Setting{.name = "fp16", .compute = at::kHalf},
        Setting{.name = "fp16_full", .method = kFull, .compute = at::kHalf},
        Setting{.name = "fp16_siglip", .model = "siglip", .compute = at::kHalf},
        Setting{.name = "fp16_micro", .micro_batch_size = 2, .compute = at::kHalf},
        Setting{.name = "bf16_cache",
                .micro_batch_size = 2,
                .gradient_cache = true,
                .compute = at::kBFloat16},
        Setting{
            .name = "bf16_full_second", .method = kFull, .device = 1, .compute = at::kBFloat16}),
    [](const auto& setting) { return std::string(setting.param.name); });

}  // namespace
}  // namespace saferclip
