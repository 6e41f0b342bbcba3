#include "saferclip/train/memory_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "saferclip/model/tensor_slots.h"

namespace saferclip {
namespace {

MemoryPlan small_plan() {
  MemoryPlan plan;
  plan.geometry.text = {64, 3, 4, 256};
  plan.geometry.vision = {128, 4, 8, 512};
  plan.geometry.embed_dim = 32;
  plan.geometry.image_size = 64;
  plan.geometry.patch_size = 16;
  plan.geometry.vocab_size = 100;
  plan.pictures = 8;
  plan.captions = 8;
  plan.tokens = 16;
  plan.trained_parameters = 1000;
  plan.held_parameters = 1000;
  plan.rank = 4;
  return plan;
}

std::int64_t part(const MemoryPlan& plan, const std::string& name) {
  for (const MemoryPart& each : memory_parts(plan)) {
    if (each.name == name) return each.bytes;
  }
  ADD_FAILURE() << "no part " << name;
  return 0;
}

TEST(MemoryPlan, StateOfTheTrainedParameters) {
  MemoryPlan plan = small_plan();
  EXPECT_EQ(part(plan, "gradients"), 4 * 1000);
  EXPECT_EQ(part(plan, "moments"), 8 * 1000);
  EXPECT_EQ(part(plan, "copy for saves"), 12 * 1000);
  plan.copies_state = false;
  EXPECT_EQ(part(plan, "copy for saves"), 0);
}

// Of the blocks: q, k, v, out and the MLP's two, 12 width² each.
TEST(MemoryPlan, Weights) {
  MemoryPlan plan = small_plan();
  const std::int64_t blocks = 12 * (3 * 64 * 64 + 4 * 128 * 128);
  const std::int64_t all = parameter_count(plan.geometry);
  EXPECT_EQ(part(plan, "weights"), 4 * (2 * blocks + all - blocks + 1000));
  plan.is_half = true;
  EXPECT_EQ(part(plan, "weights"), 4 * blocks + 4 * (all - blocks + 1000));
  plan.trains_all = true;
  EXPECT_EQ(part(plan, "weights"), 4 * all + 2 * blocks);
  plan.is_half = false;
  EXPECT_EQ(part(plan, "weights"), 4 * all);
}

TEST(MemoryPlan, ActivationsGrowWithTheBatchAndShrinkWithRecomputation) {
  MemoryPlan plan = small_plan();
  const std::int64_t whole = part(plan, "activations");
  plan.pictures *= 2;
  plan.captions *= 2;
  EXPECT_EQ(part(plan, "activations"), 2 * whole);
  plan.is_half = true;
  EXPECT_EQ(part(plan, "activations"), whole);
  plan = small_plan();
  plan.recompute = Recompute::kAttention;
  // A text block's [8, 4, 16, 16] weights are kept otherwise, a picture's 17 x 17 of width 16 are
  // not. Of kept bytes an eighth more is counted, for the heap.
  EXPECT_EQ(whole - part(plan, "activations"), (4 + 0.5) * 3 * 8 * 4 * 16 * 16);
  plan.recompute = Recompute::kBlocks;
  EXPECT_LT(part(plan, "activations"), whole / 2);
}

TEST(MemoryPlan, AValidationsModelTakesTheRoomOfAPass) {
  MemoryPlan plan = small_plan();
  plan.pictures = plan.captions = 1024;
  const std::int64_t without = total_bytes(memory_parts(plan));
  plan.validates = true;
  EXPECT_EQ(total_bytes(memory_parts(plan)), without);  // smaller than a pass
  plan.pictures = plan.captions = 1;
  const std::int64_t model = 4 * parameter_count(plan.geometry);
  // The residual, its norm, and the hidden layer twice, of 64 pictures of 17 tokens; their pixels.
  const std::int64_t rows = 4 * 64 * 17 * 2 * (128 + 512) + 8 * 64 * 3 * 64 * 64;
  EXPECT_EQ(part(plan, "activations") + part(plan, "workspace"), model + rows);
}

TEST(MemoryPlan, PreparingHoldsTheReferenceBesideTheModel) {
  MemoryPlan plan = small_plan();
  const std::int64_t all = parameter_count(plan.geometry);
  const auto weights = [&] {
    std::int64_t bytes = 0;
    for (const MemoryPart& each : preparing_parts(plan)) {
      bytes += each.name == "weights" || each.name == "reference" ? each.bytes : 0;
    }
    return bytes;
  };
  EXPECT_EQ(weights(), 8 * all);
  plan.is_half = true;
  EXPECT_EQ(weights(), 6 * all);
  plan.trains_all = true;  // fp32 masters
  EXPECT_EQ(weights(), 8 * all);
  plan.keeps_reference = true;
  EXPECT_EQ(part(plan, "reference"), 4 * all);
}

// A device holds frozen weights once, the adapters twice, no attention weights and no copy for
// saves.
TEST(MemoryPlan, OfADevice) {
  MemoryPlan plan = small_plan();
  plan.is_half = true;
  const std::int64_t on_the_cpu = part(plan, "activations");
  plan.is_on_device = true;
  const std::int64_t blocks = 12 * (3 * 64 * 64 + 4 * 128 * 128);
  const std::int64_t others = parameter_count(plan.geometry) - blocks;
  EXPECT_EQ(part(plan, "weights"), 2 * blocks + 4 * others + (4 + 2) * 1000);
  EXPECT_EQ(part(plan, "copy for saves"), 0);
  EXPECT_LT(part(plan, "activations"), on_the_cpu);
  const std::int64_t of_lora = part(plan, "activations");
  plan.trains_all = true;
  EXPECT_GT(part(plan, "activations"), of_lora - 6 * 4 * 3 * 8 * 16 * 2);
  plan.mapped = 1 << 20;
  EXPECT_EQ(part(plan, "data"), 0);
}

TEST(MemoryPlan, TheSumIsThePeak) {
  MemoryPlan plan = small_plan();
  const std::int64_t without = total_bytes(memory_parts(plan));
  plan.mapped = 5000;
  plan.batch_bytes = 600;
  EXPECT_EQ(total_bytes(memory_parts(plan)) - without, 5600);
}

}  // namespace
}  // namespace saferclip
