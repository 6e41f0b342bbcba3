// A model of two layers a tower with LoRA of rank 2.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "saferclip/model/trained.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

class TinyModel : public ::testing::Test {
 protected:
  TinyModel() {
    ModelOptions options;
    options.weights = SAFERCLIP_FIXTURES "/model/quick_gelu";
    source_ = open_weights(options, 0);
    model_ = load_clip(source_);
    adapter_.rank = 2;
    parameters_ = make_trainable(model_, {}, adapter_, 7);
  }

  WeightsSource source_;
  ClipModel model_;
  AdapterOptions adapter_;
  std::vector<TrainedParameter> parameters_;
};

}  // namespace saferclip
