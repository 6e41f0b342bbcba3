// A SaFeR-CLIP step on one fixed batch, for measurements: what a training run sets up, without its
// data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "saferclip/data/batch.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/model/model_options.h"
#include "saferclip/nn/compute_copies.h"
#include "saferclip/nn/optimizer.h"
#include "saferclip/train/step.h"

namespace saferclip {

// Pixels, token ids, reference and target embeddings, under the names of pytorch_step.py. Every row
// has an unsafe picture.
Batch read_bench_batch(const std::string& path);
// Such a file with random content: `rows` rows whose longest caption has `longest` tokens.
void write_bench_batch(const std::string& path, const ClipGeometry& geometry, std::int64_t rows,
                       std::int64_t longest);

AdapterMethod bench_method(const std::string& word);      // lora, full
at::ScalarType bench_precision(const std::string& word);  // bf16, fp32

class BenchStep {
 public:
  // Weights in a folder or file. The batch is moved to the device.
  BenchStep(const std::string& weights, const Batch& batch, AdapterMethod method,
            at::ScalarType compute, at::Device device);
  // The options may name the copies, so the object stays where it is.
  BenchStep(const BenchStep&) = delete;
  BenchStep& operator=(const BenchStep&) = delete;

  StepNumbers run();

  const ClipGeometry& geometry() const { return model_.geometry; }
  const Batch& batch() const { return batch_; }
  StepOptions& options() { return options_; }

 private:
  ClipModel model_;
  std::vector<TrainedParameter> parameters_;
  Batch batch_;
  std::optional<ComputeCopies> copies_;
  std::optional<Optimizer> optimizer_;
  StepOptions options_;
};

}  // namespace saferclip
