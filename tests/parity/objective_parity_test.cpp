// Loss terms and gradients against a float64 oracle (scripts/fixtures/objective.py).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "saferclip/io/safetensors.h"
#include "saferclip/objective/loss_set.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

struct Case {
  SafetensorsFile file =
      SafetensorsFile::open(std::string(SAFERCLIP_FIXTURES) + "/objective/terms.safetensors");
  nlohmann::json knobs;
  LossInputs inputs;
  LossCounts counts;
  std::vector<std::pair<std::string, at::Tensor>> leaves;

  Case(const std::string& name, at::ScalarType dtype) {
    knobs = nlohmann::json::parse(file.metadata().at("cases"))[name];
    const auto read = [&](const std::string& tensor) {
      return file.tensor(tensor).to(dtype).clone();
    };
    const auto leaf = [&](const std::string& tensor) {
      leaves.emplace_back(tensor, read(tensor).requires_grad_(true));
      return leaves.back().second;
    };
    const auto flags = [&](const char* key) {
      return at::tensor(knobs[key].get<std::vector<double>>(), at::kDouble).to(dtype);
    };
    inputs.tuned = {leaf("safe_text"), leaf("safe_image"), leaf("unsafe_text"),
                    leaf("unsafe_image")};
    inputs.anchor_text = leaf("anchor_text");
    inputs.anchor_image = leaf("anchor_image");
    inputs.reference = {read("reference_safe_text"), read("reference_safe_image"),
                        read("reference_unsafe_text"), read("reference_unsafe_image")};
    inputs.reference_anchor_text = read("reference_anchor_text");
    inputs.reference_anchor_image = read("reference_anchor_image");
    inputs.target_text = read("target_text");
    inputs.target_image = read("target_image");
    inputs.has_unsafe_image = flags("has_image");
    inputs.is_redirected = flags("redirected");
    inputs.unsafe_caption_label = flags("captions");
    inputs.unsafe_image_label = flags("images");
    inputs.logit_scale =
        at::full({}, knobs["scale"].get<double>(), at::TensorOptions().dtype(dtype));
    inputs.logit_bias = at::full({}, knobs["bias"].get<double>(), at::TensorOptions().dtype(dtype));
    counts.rows = 6;
    counts.redirected_rows = inputs.is_redirected.sum().item<double>();
    counts.redirected_rows_with_unsafe_image =
        (inputs.is_redirected * inputs.has_unsafe_image).sum().item<double>();
    counts.anchors_text = counts.anchors_image = 4;
    counts.labels = count_rows(inputs).labels;
  }

  // The term alone, whatever the preset divides by.
  ObjectiveOptions options(ObjectiveName objective, const std::string& term) const {
    ObjectiveOptions o = ObjectiveOptions::preset(objective);
    o.normalise = Normalization::kNone;
    for (auto& [name, weight] : o.weights) weight = name == term ? 1 : 0;
    const auto word = [this](const char* key) { return knobs[key].get<std::string>(); };
    o.cross.scale = knobs["k"];
    o.cross.margin = knobs["margin"];
    o.mutual_scale = knobs["mutual"];
    o.mutual_negatives = *enum_from<MutualNegatives>(word("negatives"));
    o.pres_cross.form = *enum_from<CrossPreservationForm>(word("form"));
    o.pres_sim = {*enum_from<SimilarityForm>(word("sim_form")), knobs["sim_scale"],
                  knobs["sim_neighbours"]};
    o.pres_local.neighbours = knobs["local_neighbours"];
    const nlohmann::json& cet = knobs["cet"];
    o.pres_cet.over = *enum_from<JointAnswer>(cet["over"].get<std::string>());
    o.pres_cet.neighbours = cet["neighbours"];
    o.pres_cet.threshold = cet["threshold"];
    return o;
  }

  void zero_grad() {
    for (auto& [name, leaf] : leaves) leaf.mutable_grad() = at::Tensor();
  }
};

double tolerance(const at::Tensor& expected, at::ScalarType dtype) {
  return dtype == at::kDouble ? 1e-10 * std::max(1e-3, expected.abs().max().item<double>()) : 1e-5;
}

double deviation(const at::Tensor& found, const at::Tensor& expected) {
  return (found.to(at::kDouble) - expected).abs().max().item<double>();
}

void compare_term(Case& c, const std::string& name, ObjectiveName objective,
                  const std::string& term, at::ScalarType dtype) {
  c.zero_grad();
  const LossResult result = compute_losses(c.options(objective, term), c.inputs, c.counts);
  ASSERT_EQ(result.terms.size(), 1U);
  EXPECT_EQ(result.terms[0].name, term);
  const std::string key = name + "." + to_string(objective) + "." + term;
  const at::Tensor expected = c.file.tensor(key);
  expect_close(result.total.detach(), expected, tolerance(expected, dtype), key);
  double largest = deviation(result.total.detach(), expected);
  result.total.backward();
  for (const auto& [leaf_name, leaf] : c.leaves) {
    const at::Tensor wanted = c.file.tensor(key + "." + leaf_name);
    const at::Tensor found = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
    expect_close(found, wanted, tolerance(wanted, dtype), key + "." + leaf_name);
    largest = std::max(largest, deviation(found, wanted));
  }
  // For --gtest_output=json: the largest deviation of the term, value and gradients.
  ::testing::Test::RecordProperty(to_string(objective) + "." + term,
                                  std::to_string(largest * 1e15) + "e-15");
}

void compare_terms(const std::string& name, at::ScalarType dtype) {
  Case c(name, dtype);
  for (const ObjectiveName objective :
       {ObjectiveName::kSaferClip, ObjectiveName::kSafeClip, ObjectiveName::kShieldClip}) {
    for (const std::string& term : ObjectiveOptions::term_names(objective)) {
      compare_term(c, name, objective, term, dtype);
    }
  }
}

TEST(LossParity, Float64AllRows) { compare_terms("plain", at::kDouble); }
TEST(LossParity, Float64MissingAndHeldBackRows) { compare_terms("holes", at::kDouble); }
TEST(LossParity, Float64SigmoidForm) { compare_terms("sigmoid", at::kDouble); }
TEST(LossParity, Float32) {
  compare_terms("sigmoid", at::kFloat);
  compare_terms("plain", at::kFloat);
  compare_terms("holes", at::kFloat);
}

TEST(LossParity, ContrastiveWithTrainedScale) {
  for (const ObjectiveName name : {ObjectiveName::kClip, ObjectiveName::kSiglip}) {
    const std::string objective = to_string(name);
    Case c("plain", at::kDouble);
    at::Tensor log_scale = at::full({}, std::log(9.0), at::kDouble).requires_grad_(true);
    at::Tensor bias = at::full({}, -6.0, at::kDouble).requires_grad_(true);
    c.inputs.logit_scale = log_scale.exp();
    c.inputs.logit_bias = bias;
    const LossResult result = compute_losses(ObjectiveOptions::preset(name), c.inputs, c.counts);
    expect_close(result.total.detach(), c.file.tensor(objective), 1e-10, objective);
    result.total.backward();
    expect_close(log_scale.grad(), c.file.tensor(objective + ".logit_scale"), 1e-10, "logit_scale");
    expect_close(c.inputs.tuned.safe_text.grad(), c.file.tensor(objective + ".safe_text"), 1e-10,
                 "safe_text");
    expect_close(c.inputs.tuned.safe_image.grad(), c.file.tensor(objective + ".safe_image"), 1e-10,
                 "safe_image");
    if (name == ObjectiveName::kSiglip) {
      expect_close(bias.grad(), c.file.tensor("siglip.logit_bias"), 1e-10, "logit_bias");
    }
  }
}

}  // namespace
}  // namespace saferclip
