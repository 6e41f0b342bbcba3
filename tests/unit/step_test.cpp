#include "saferclip/train/step.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "saferclip/core/error.h"
#include "saferclip/data/crops.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/train/augment.h"
#include "support/tensors.h"
#include "support/tiny_batch.h"
#include "support/tiny_model.h"

namespace saferclip {
namespace {

class Tiny : public TinyModel {
 protected:
  // Adapters as after some training, so that all of their gradients differ from 0.
  void disturb(double dropout) {
    for (LinearSlot& slot : linear_slots(model_)) {
      slot.layer->lora_dropout = dropout;
      for (LoraSegment& s : slot.layer->lora) s.b.detach().normal_(0, 0.1);
    }
  }
  // Of one step over the same five rows each time, in one vector.
  at::Tensor loss_and_gradients(const StepOptions& options) {
    at::manual_seed(3);
    const Batch rows = tiny_batch(5, source_.geometry);
    Optimizer optimizer({}, parameters_);
    const StepNumbers numbers = train_step(model_, optimizer, rows, options, 0.0);
    std::vector<at::Tensor> flat{numbers.loss.detach().view({1})};
    for (const TrainedParameter& p : parameters_) flat.push_back(p.tensor.grad().flatten());
    return at::cat(flat);
  }
};

TEST_F(Tiny, MicroBatchesEqualOneBatch) {
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.objective.weights["pres_cross_img"] = options.objective.weights["pres_cross_txt"] = 0;
  options.preprocessing = source_.preprocessing;
  OptimizerOptions adam;
  std::vector<at::Tensor> gradients;
  double loss = 0;
  for (const std::int64_t micro : {5, 2, 1}) {
    options.train.micro_batch_size = micro;
    Optimizer optimizer(adam, parameters_);
    const StepNumbers numbers =
        train_step(model_, optimizer, tiny_batch(5, source_.geometry), options, 0.0);
    std::vector<at::Tensor> flat;
    for (const TrainedParameter& p : parameters_) flat.push_back(p.tensor.grad().flatten());
    const at::Tensor all = at::cat(flat);
    if (micro == 5) {
      gradients = {all};
      loss = numbers.loss.item<double>();
    }
    EXPECT_NEAR(numbers.loss.item<double>(), loss, 1e-6 * std::abs(loss));
    EXPECT_LE(((all - gradients[0]).norm() / gradients[0].norm()).item<double>(), 1e-5) << micro;
  }
}

TEST_F(Tiny, TheGradientCacheKeepsTheBatchsNegatives) {
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.preprocessing = source_.preprocessing;
  disturb(0);
  const auto gradient = [&](std::optional<std::int64_t> micro, bool is_cached) {
    options.train.micro_batch_size = micro;
    options.train.gradient_cache = is_cached;
    return loss_and_gradients(options);
  };
  const at::Tensor whole = gradient(std::nullopt, false);
  const auto apart = [&](const at::Tensor& other) {
    return ((other - whole).norm() / whole.norm()).item<double>();
  };
  for (const std::int64_t micro : {5, 2, 1}) EXPECT_LE(apart(gradient(micro, true)), 1e-5) << micro;
  EXPECT_GT(apart(gradient(2, false)), 1e-2);
}

TEST_F(Tiny, RecomputationGivesTheSameBits) {
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.preprocessing = source_.preprocessing;
  disturb(0.5);
  std::vector<at::Tensor> gradients;
  for (const Recompute recompute :
       {Recompute::kNothing, Recompute::kAttention, Recompute::kBlocks}) {
    options.train.recompute = recompute;
    gradients.push_back(loss_and_gradients(options));
  }
  EXPECT_GT(gradients[0].abs().sum().item<double>(), 0);
  EXPECT_TRUE(gradients[1].equal(gradients[0]));
  EXPECT_TRUE(gradients[2].equal(gradients[0]));
}

// Copies of the trained tensors change how often they are cast, and no bit of the result.
TEST_F(Tiny, CopiesGiveTheSameBits) {
  for (const AdapterMethod method : {AdapterMethod::kLora, AdapterMethod::kFull}) {
    model_ = load_clip(source_);
    adapter_.method = method;
    adapter_.alpha = 3;
    parameters_ = make_trainable(model_, {}, adapter_, 7);
    disturb(0.25);
    for (const at::ScalarType compute : {at::kFloat, at::kBFloat16}) {
      for (const char* way : {"whole", "micro", "cache", "blocks"}) {
        StepOptions options;
        options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
        options.preprocessing = source_.preprocessing;
        options.compute = compute;
        const std::string name = way;
        if (name == "micro" || name == "cache") options.train.micro_batch_size = 2;
        options.train.gradient_cache = name == "cache";
        if (name == "blocks") options.train.recompute = Recompute::kBlocks;
        const at::Tensor plain = loss_and_gradients(options);
        ComputeCopies copies(copied_tensors(model_, compute), compute);
        options.copies = &copies;
        const at::Tensor copied = loss_and_gradients(options);
        EXPECT_GT(plain.abs().sum().item<double>(), 0);
        EXPECT_TRUE(copied.equal(plain)) << word_of(method) << ' ' << compute << ' ' << way << ' '
                                         << (copied - plain).abs().max().item<double>();
      }
    }
  }
}

TEST_F(Tiny, DropoutIsAFunctionOfSeedAndStep) {
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.preprocessing = source_.preprocessing;
  for (LinearSlot& slot : linear_slots(model_)) {
    slot.layer->lora_dropout = 0.5;
    for (LoraSegment& s : slot.layer->lora) s.b.detach().normal_();
  }
  OptimizerOptions adam;
  Optimizer optimizer(adam, parameters_);
  const auto loss = [&](std::uint64_t seed, std::int64_t step) {
    options.train.seed = static_cast<std::int64_t>(seed);
    Batch b = tiny_batch(4, source_.geometry);
    b.step = step;
    return train_step(model_, optimizer, b, options, 0.0).loss.item<double>();
  };
  EXPECT_EQ(loss(1, 5), loss(1, 5));
  EXPECT_NE(loss(1, 5), loss(1, 6));
  EXPECT_NE(loss(1, 5), loss(2, 5));
}

// Adapters start at zero, so whatever the tuned model sees, the reference must see the same.
TEST_F(Tiny, TheReferenceSeesTheCroppedPictures) {
  ClipModel reference = load_clip(source_);
  const std::string hash = model_hash(reference);
  Batch whole = tiny_batch(5, source_.geometry);
  const at::Tensor of_whole =
      encode_images(reference, source_.preprocessing, whole.safe_pixels, {});
  whole.safe_boxes =
      crop_boxes(1, whole.step, whole.rows, PictureColumn::kSafe, HostMemory::kPageable);
  whole.unsafe_boxes =
      crop_boxes(1, whole.step, {0, 2, 3}, PictureColumn::kUnsafe, HostMemory::kPageable);
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.objective.weights["pres_cross_img"] = options.objective.weights["pres_cross_txt"] = 0;
  options.preprocessing = source_.preprocessing;
  Optimizer optimizer({}, parameters_);
  std::map<std::string, double> first;
  for (const std::int64_t micro : {5, 2, 1}) {
    options.train.micro_batch_size = micro;
    const Batch cropped =
        augment_batch(whole, {&reference, source_.preprocessing, micro, /*unsafe=*/true});
    EXPECT_FALSE(at::equal(cropped.safe_pixels, whole.safe_pixels));
    EXPECT_EQ(cropped.reference.unsafe_image[1].abs().max().item<float>(), 0);
    for (const auto& [name, value] : train_step(model_, optimizer, cropped, options, 0.0).terms) {
      const double expected = first.emplace(name, value.item<double>()).first->second;
      EXPECT_NEAR(value.item<double>(), expected, 1e-6) << name << ", micro-batches of " << micro;
    }
    EXPECT_LE(first.at("pres_uni_img"), 1e-5);
    Batch stale = cropped;
    stale.reference.safe_image = of_whole;
    for (const auto& [name, value] : train_step(model_, optimizer, stale, options, 0.0).terms) {
      if (name != "pres_uni_img") continue;
      EXPECT_GT(value.item<double>(), 1e-4);
    }
  }
  EXPECT_EQ(model_hash(reference), hash);
  const Batch unread = augment_batch(whole, {&reference, source_.preprocessing, 5, false});
  EXPECT_FALSE(unread.reference.unsafe_image.defined());
  const Batch alone = augment_batch(whole, {});
  EXPECT_TRUE(at::equal(alone.reference.safe_image, whole.reference.safe_image));
}

TEST_F(Tiny, AStepIsGivenUpBeforeItChangesAnything) {
  const Batch whole = tiny_batch(5, source_.geometry);
  StopFlag stop;
  StepOptions options;
  options.objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  options.preprocessing = source_.preprocessing;
  options.train.micro_batch_size = 2;
  options.stop = &stop;
  Optimizer optimizer({}, parameters_);
  std::vector<at::Tensor> before;
  for (const TrainedParameter& p : parameters_) {
    before.push_back(p.tensor.detach().clone());
    // The first gradient of the first backward pass: layers below it are still to come.
    p.tensor.register_hook([&](const at::Tensor&) { stop.request(143); });
  }
  bool has_updated = false;
  EXPECT_THROW(train_step(model_, optimizer, whole, options, 0.1, [&] { has_updated = true; }),
               Interrupted);
  EXPECT_FALSE(has_updated);
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    EXPECT_TRUE(at::equal(parameters_[i].tensor, before[i]));
    EXPECT_EQ(optimizer.step_count(i).item<double>(), 0);
  }
}

}  // namespace
}  // namespace saferclip
