// Checkpoints are whole or not there, and give back what was saved.
#include "saferclip/train/checkpoint.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "saferclip/core/error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Checkpoints = TinyModel;

TEST_F(Checkpoints, RoundTripAndRetention) {
  const TemporaryFolder folder;
  Logger log(LogLevel::kOff);
  CheckpointStore store(folder.path(), log);
  Optimizer optimizer({}, parameters_);
  for (const TrainedParameter& p : parameters_) p.tensor.mutable_grad() = at::randn_like(p.tensor);
  optimizer.step(0.1);
  TrainState state;
  for (const std::int64_t step : {1, 2, 3, 4}) {
    state.step = step;
    state.best_value = 1.5;
    state.best_step = 1;
    store.save(take_snapshot(state, parameters_, optimizer), {2, true});
  }
  EXPECT_THAT(store.steps(), ElementsAre(1, 3, 4));  // the best, and the newest two
  EXPECT_EQ(store.pointer("best"), 1);
  EXPECT_EQ(store.newest_good(), 4);
  std::filesystem::remove(folder / "checkpoints" / "best");
  store.settle(state, {2, true});
  EXPECT_THAT(store.steps(), ElementsAre(1, 3, 4));
  EXPECT_EQ(store.pointer("best"), 1);
  std::ofstream(store.folder(4) / "weights.safetensors", std::ios::app) << "x";
  EXPECT_EQ(store.newest_good(), 3);
  EXPECT_THAT(checkpoint_problem(store.folder(4)), HasSubstr("weights.safetensors has"));

  // A snapshot is not what training does to the leaves after it.
  const CheckpointSnapshot before = take_snapshot(state, parameters_, optimizer);
  const at::Tensor first = parameters_[0].tensor.detach().clone();
  parameters_[0].tensor.detach().add_(1);
  EXPECT_TRUE(at::equal(before.weights[0].tensor.view(first.sizes()), first));
  parameters_[0].tensor.detach().copy_(first);

  // Nor is one that was copied later, into the memory of an earlier copy.
  CheckpointSnapshot spare,
      late = take_snapshot(state, parameters_, optimizer, SnapshotMemory::kViews);
  copy_snapshot(late, spare);
  const void* memory = spare.weights[0].tensor.const_data_ptr();
  late = take_snapshot(state, parameters_, optimizer, SnapshotMemory::kViews);
  copy_snapshot(late, spare);
  EXPECT_EQ(late.weights[0].tensor.const_data_ptr(), memory);
  parameters_[0].tensor.detach().add_(1);
  for (std::size_t i = 0; i < late.weights.size(); ++i)
    EXPECT_TRUE(at::equal(late.weights[i].tensor, before.weights[i].tensor));
  for (std::size_t i = 0; i < late.optimizer.size(); ++i)
    EXPECT_TRUE(at::equal(late.optimizer[i].tensor, before.optimizer[i].tensor));
  parameters_[0].tensor.detach().copy_(first);

  ClipModel other = load_clip(source_);
  const auto restored = make_trainable(other, {}, adapter_, 99);
  Optimizer fresh({}, restored);
  restore(store.folder(3), restored, fresh);
  for (std::size_t i = 0; i < restored.size(); ++i) {
    EXPECT_TRUE(at::equal(restored[i].tensor, parameters_[i].tensor));
    EXPECT_TRUE(at::equal(fresh.exp_avg(i), optimizer.exp_avg(i)));
    EXPECT_TRUE(at::equal(fresh.exp_avg_sq(i), optimizer.exp_avg_sq(i)));
    EXPECT_EQ(fresh.step_count(i).item<float>(), 1);
  }
  EXPECT_EQ(read_train_state(store.folder(3)).best_value, 1.5);

  AdapterOptions wider = adapter_;
  wider.rank = 3;
  ClipModel third = load_clip(source_);
  const auto misfit = make_trainable(third, {}, wider, 1);
  Optimizer none({}, misfit);
  EXPECT_THROW(restore(store.folder(3), misfit, none), WeightsError);
}

}  // namespace
}  // namespace saferclip
