// Masks on weights: the layer, the model, the optimizer's way with them, the file of bits.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "saferclip/core/error.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/run/mask_file.h"
#include "saferclip/train/step.h"
#include "support/operators.h"
#include "support/tensors.h"
#include "support/tiny_batch.h"
#include "support/tiny_model.h"

namespace saferclip {
namespace {

constexpr double kThreshold = 0.005;

// 12 inputs, 10 outputs; masks on outputs 0 … 3 and 6 … 9, about half of their weights off.
struct MaskedLayer {
  explicit MaskedLayer(at::ScalarType dtype, double off_value = 0) {
    at::manual_seed(7);
    layer.weight = at::randn({10, 12}).to(dtype);
    layer.bias = at::randn({10}).to(dtype);
    for (const std::int64_t row : {0, 6}) {
      const auto leaf = dtype == at::kDouble ? at::kDouble : at::kFloat;
      layer.masks.push_back(
          {at::randn({4, 12}).mul(0.01).add(kThreshold).to(leaf).requires_grad_(), row, 4});
    }
    layer.mask_rule = {kThreshold, off_value};
    x = at::randn({9, 12}).to(dtype);
    dy = at::randn({9, 10}).to(dtype);
    mode.compute = dtype;
  }
  // 1 where a weight is on.
  at::Tensor on() const {
    at::Tensor all = at::ones({10, 12}, at::kDouble);
    for (const MaskSegment& s : layer.masks) {
      all.narrow(0, s.row, s.rows).copy_(s.scores.detach() > kThreshold);
    }
    return all;
  }
  Linear layer;
  ForwardMode mode;
  at::Tensor x, dy;
};

TEST(Masks, EqualPyTorchsGradientOfTheDenseWeightTimesTheWeight) {
  for (const double off : {0.0, -1.0, 0.25}) {
    MaskedLayer m(at::kDouble, off);
    const at::Tensor x = m.x.clone().requires_grad_();
    const at::Tensor y = linear(m.layer, x, m.mode);
    y.backward(m.dy);

    const at::Tensor on = m.on();
    EXPECT_GT(on.eq(0).sum().item<std::int64_t>(), 20);
    const at::Tensor dense = (m.layer.weight * (on + (1 - on) * off)).requires_grad_();
    const at::Tensor wide = m.x.clone().requires_grad_();
    const at::Tensor expected = at::linear(wide, dense, m.layer.bias);
    expected.backward(m.dy);
    EXPECT_LT(relative_error(y, expected), 1e-14);
    EXPECT_LT(relative_error(x.grad(), wide.grad()), 1e-14);
    const at::Tensor ds = dense.grad() * m.layer.weight * (1 - off);
    for (const MaskSegment& s : m.layer.masks) {
      EXPECT_LT(relative_error(s.scores.grad(), ds.narrow(0, s.row, s.rows)), 1e-14) << off;
    }
  }
}

TEST(Masks, AreExactInEachDtype) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const double off : {0.0, -1.0}) {
      const MaskedLayer m(dtype, off);
      const at::Tensor expected =
          at::where(m.on().ne(0), exact(m.layer.weight), exact(m.layer.weight) * off);
      EXPECT_EQ(largest_difference(masked_weight(m.layer), expected), 0);
    }
  }
  MaskedLayer m(at::kFloat);
  EXPECT_FALSE(masked_weight(m.layer)
                   .eq(0)
                   .logical_and(masked_weight(m.layer).signbit())
                   .any()
                   .item<bool>());
}

TEST(Masks, AtTheStartTheLayerIsTheSameToTheBit) {
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    MaskedLayer m(dtype);
    for (MaskSegment& s : m.layer.masks) s.scores.detach().fill_(0.01);
    Linear plain = m.layer;
    plain.masks.clear();
    EXPECT_TRUE(at::equal(linear(m.layer, m.x, m.mode), linear(plain, m.x, m.mode)));
  }
}

TEST(Masks, KeepTheirWeightReadable) {
  MaskedLayer m(at::kFloat);
  pack_frozen(m.layer, 9, at::kFloat);
  EXPECT_FALSE(m.layer.packed.defined());
  EXPECT_FALSE(m.layer.weight.is_meta());
  m.layer.weight.requires_grad_();
  EXPECT_THROW(linear(m.layer, m.x, m.mode), Error);
}

// A weight that is off has a gradient, so it can come back: here the target needs it.
TEST(Masks, AWeightThatIsOffCanReturn) {
  Linear layer;
  layer.weight = at::ones({1, 1});
  layer.masks = {{at::zeros({1, 1}).requires_grad_(), 0, 1}};
  layer.mask_rule = {kThreshold, 0};
  const at::Tensor x = at::ones({1, 1});
  Optimizer optimizer({}, {{layer.masks[0].scores, {{"mask.m.weight", 0, 0}}, {1, 1}, false}});
  EXPECT_EQ(linear(layer, x, {}).item<double>(), 0);
  for (int step = 0; step < 60; ++step) {
    optimizer.zero_grad();
    (linear(layer, x, {}) - 1).square().sum().backward();
    optimizer.step(1e-4);
  }
  EXPECT_EQ(linear(layer, x, {}).item<double>(), 1);
}

// The step at which the norm term alone has switched all of `count` scores off.
std::int64_t step_of_the_end(std::int64_t count, at::ScalarType dtype) {
  const std::vector<TrainedParameter> parameters{
      {at::full({count}, 0.01, dtype).requires_grad_(), {{"mask.m.weight", 0, 0}}, {count}, false}};
  AdapterOptions adapter = AdapterOptions::preset(AdapterMethod::kMask);
  adapter.norm_weight = 1e-4;
  const MaskTraining masks(parameters, adapter, {}, 0);
  Optimizer optimizer({}, parameters);
  for (std::int64_t step = 1; step < 100; ++step) {
    optimizer.zero_grad();
    (masks.norm() * masks.norm_weight()).backward();
    optimizer.step(8e-5);
    const double fraction = masks.masked_fraction().item<double>();
    if (fraction == 1) return step;
    EXPECT_EQ(fraction, 0);
  }
  return -1;
}

// Where the gradient, 1e-4 / sqrt(count), is small, Adam's eps counts.
TEST(Masks, TheNormAloneSwitchesEverythingOff) {
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    EXPECT_EQ(step_of_the_end(100, dtype), 63);
    EXPECT_EQ(step_of_the_end(10000, dtype), 64);
    EXPECT_EQ(step_of_the_end(1536 * 1152, dtype), 71);
  }
}

TEST(Masks, BitsAreRowMajorAndMostSignificantFirst) {
  const at::Tensor flags = at::tensor({1, 0, 1, 1, 0, 0, 0, 0, 1, 1}, at::kByte).view({2, 5}).ne(0);
  EXPECT_TRUE(at::equal(packed_bits(flags), at::tensor({0b10110000, 0b11000000}, at::kByte)));
  EXPECT_TRUE(at::equal(packed_bits(at::ones({4, 2}, at::kBool)), at::tensor({255}, at::kByte)));
}

class MaskedModel : public TinyModel {
 protected:
  MaskedModel() {
    adapter_ = AdapterOptions::preset(AdapterMethod::kMask);
    adapter_.gradient_dropout.enabled = false;
    model_ = load_clip(source_);
    parameters_ = make_trainable(model_, {}, adapter_, 7);
    options_.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
    options_.preprocessing = source_.preprocessing;
  }
  void disturb() {
    at::manual_seed(5);
    for (const TrainedParameter& p : parameters_) p.tensor.detach().normal_(0.02, 0.01);
  }
  Batch batch() const { return tiny_batch(5, source_.geometry); }
  // Of one step over the same rows each time.
  at::Tensor gradients() {
    Optimizer optimizer({}, parameters_);
    train_step(model_, optimizer, batch(), options_, 0.0);
    std::vector<at::Tensor> flat;
    for (const TrainedParameter& p : parameters_) flat.push_back(p.tensor.grad().flatten());
    return at::cat(flat);
  }
  StepOptions options_;
};

TEST_F(MaskedModel, HasScoresOnItsTargetsAlone) {
  std::size_t expected = 0;
  ClipModel plain = load_clip(source_);
  for (const LinearSlot& slot : linear_slots(plain))
    expected += slot.suffix.starts_with("fc") ? 0U : 1U;
  EXPECT_EQ(parameters_.size(), expected);
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const TensorForm& form : tensor_forms(source_.geometry)) shapes[form.name] = form.shape;
  for (const NamedTensor& named : trained_tensors(parameters_)) {
    EXPECT_EQ(named.tensor.sizes().vec(), shapes.at(named.name.substr(kMaskPrefix.size())));
    EXPECT_TRUE(named.tensor.eq(0.01F).all().item<bool>());
  }
  adapter_.towers = Towers::kText;
  adapter_.targets = {"patch_embedding"};
  EXPECT_THROW(make_trainable(plain, {}, adapter_, 7), ConfigError);
}

TEST_F(MaskedModel, BeginsAsTheModelToTheBit) {
  const ClipModel plain = load_clip(source_);
  const Batch rows = batch();
  EXPECT_TRUE(at::equal(encode_images(model_, source_.preprocessing, rows.safe_pixels, {}),
                        encode_images(plain, source_.preprocessing, rows.safe_pixels, {})));
  EXPECT_TRUE(at::equal(encode_texts(model_, rows.safe_ids, rows.safe_ends, {}),
                        encode_texts(plain, rows.safe_ids, rows.safe_ends, {})));
}

// Against the gradients of full fine-tuning, which transformers confirms, from the same weights.
TEST_F(MaskedModel, GradientsAreThoseOfTheWeightsTimesTheWeights) {
  disturb();
  gradients();
  ClipModel base = load_clip(source_), dense = load_clip(source_);
  apply_trained(dense, trained_tensors(parameters_), {}, adapter_, "test");
  AdapterOptions full;
  full.method = AdapterMethod::kFull;
  const auto weights = make_trainable(dense, {}, full, 0);
  Optimizer optimizer({}, weights);
  train_step(dense, optimizer, batch(), options_, 0.0);
  std::map<std::string, at::Tensor> expected, values;
  for (const TrainedParameter& p : weights) {
    for (const auto& part : p.parts) expected[part.name] = part_view(p, part, p.tensor.grad());
  }
  for (const TensorSlot& slot : tensor_slots(base)) values[slot.name] = slot_view(slot);
  for (const TrainedParameter& p : parameters_) {
    const std::string name = p.parts[0].name.substr(kMaskPrefix.size());
    EXPECT_LT(relative_error(part_view(p, p.parts[0], p.tensor.grad()),
                             expected.at(name) * values.at(name)),
              1e-5)
        << name;
  }
}

TEST_F(MaskedModel, PassesCutInPartsAreTheSame) {
  disturb();
  const at::Tensor whole = gradients();
  options_.train.recompute = Recompute::kBlocks;
  EXPECT_TRUE(at::equal(gradients(), whole));
  options_.train.micro_batch_size = 2;
  options_.train.gradient_cache = true;
  EXPECT_LT(relative_error(gradients(), whole), 1e-4);
}

TEST_F(MaskedModel, Bf16FollowsFp32) {
  disturb();
  const at::Tensor whole = gradients();
  convert_clip(model_, at::kBFloat16, at::kCPU);
  options_.compute = at::kBFloat16;
  const at::Tensor half = gradients();
  EXPECT_EQ(half.scalar_type(), at::kFloat);
  EXPECT_GT(cosine(half, whole), 0.99);
}

TEST_F(MaskedModel, StepsCountWhatIsOff) {
  disturb();
  const MaskTraining masks(parameters_, adapter_, options_.objective, 0);
  double off = 0, all = 0;
  for (const TrainedParameter& p : parameters_) {
    off += p.tensor.le(kThreshold).sum().item<double>();
    all += static_cast<double>(p.tensor.numel());
  }
  options_.masks = &masks;
  Optimizer optimizer({}, parameters_);
  const StepNumbers numbers = train_step(model_, optimizer, batch(), options_, 0.0);
  EXPECT_NEAR(numbers.masked_fraction.item<double>(), off / all, 1e-7);
  EXPECT_EQ(masks.masked_fractions().size(), parameters_.size());
}

TEST_F(MaskedModel, TheNormIsATermOfTheLoss) {
  adapter_.norm_weight = 0.5;
  const MaskTraining masks(parameters_, adapter_, options_.objective, 0);
  const at::Tensor without = gradients();
  options_.masks = &masks;
  const at::Tensor with = gradients();
  std::vector<at::Tensor> expected;
  double sum = 0;
  for (const TrainedParameter& p : parameters_) {
    sum += p.tensor.norm().item<double>();
    expected.push_back((p.tensor / p.tensor.norm() * 0.5).detach().flatten());
  }
  EXPECT_LT(relative_error(with - without, at::cat(expected)), 1e-5);
  EXPECT_NEAR(masks.norm().item<double>(), sum, 1e-5 * sum);
}

TEST_F(MaskedModel, MergedIsTheWeightOrTheOffValueTimesIt) {
  disturb();
  ClipModel base = load_clip(source_);
  const std::vector<NamedTensor> trained = trained_tensors(parameters_);
  std::map<std::string, at::Tensor> scores;
  for (const NamedTensor& n : trained) scores[n.name.substr(kMaskPrefix.size())] = n.tensor;
  for (const double off : {0.0, -1.0}) {
    for (const double strength : {1.0, 0.0, 0.5}) {
      adapter_.off_value = off;
      ClipModel tuned = load_clip(source_);
      apply_trained(tuned, trained, {}, adapter_, "test", strength);
      const std::vector<TensorSlot> before = tensor_slots(base), after = tensor_slots(tuned);
      for (std::size_t i = 0; i < before.size(); ++i) {
        at::Tensor expected = slot_view(before[i]);
        if (scores.contains(before[i].name)) {
          const double factor = 1 + strength * (off - 1);
          expected = at::where(scores[before[i].name] > kThreshold, expected, expected * factor);
        }
        EXPECT_TRUE(at::equal(slot_view(after[i]), expected)) << before[i].name << strength << off;
      }
    }
  }
}

}  // namespace
}  // namespace saferclip
