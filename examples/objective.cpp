// The SaFeR-CLIP objective on embeddings of one's own: nearest-safe targets, loss terms, gradients.
//   objective ROWS.safetensors
// with the tensors reference.X and tuned.X [B, E], fp32 or fp64, for X = safe_text, safe_image,
// unsafe_text, unsafe_image: rows of the frozen model and of the one that is trained.
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <saferclip/core/error.h>
#include <saferclip/io/safetensors.h>
#include <saferclip/objective/loss_set.h>
#include <saferclip/objective/losses.h>
#include <saferclip/objective/nearest_safe.h>

#include <iomanip>
#include <iostream>

namespace {

saferclip::EmbeddingRows read_rows(const saferclip::SafetensorsFile& file,
                                   const std::string& side) {
  return {.safe_text = file.tensor(side + ".safe_text"),
          .safe_image = file.tensor(side + ".safe_image"),
          .unsafe_text = file.tensor(side + ".unsafe_text"),
          .unsafe_image = file.tensor(side + ".unsafe_image")};
}

void show_objective(const std::string& path) {
  const auto file = saferclip::SafetensorsFile::open(path);
  const auto options = saferclip::ObjectiveOptions::preset(saferclip::ObjectiveName::kSaferClip);

  // Where each unsafe caption is sent: to the nearest safe caption and its image.
  saferclip::LossConstants constants;
  constants.reference = read_rows(file, "reference");
  const auto fp32_rows = [](const at::Tensor& rows) {
    return saferclip::normalise_rows(rows.to(at::kFloat));
  };
  const at::Tensor pool = fp32_rows(constants.reference.safe_text);
  const at::Tensor own = at::arange(pool.size(0), at::kLong);
  const saferclip::NearestTargets targets = saferclip::find_nearest_safe(
      fp32_rows(constants.reference.unsafe_text), pool, pool, own, options.targets);
  constants.target_text = constants.reference.safe_text.index_select(0, targets.index);
  constants.target_image = constants.reference.safe_image.index_select(0, targets.index);

  // A training loop has its towers' output here; these copies are leaves that collect gradients.
  saferclip::EmbeddingRows tuned = read_rows(file, "tuned");
  tuned.for_each([](at::Tensor& rows) { rows = rows.clone().set_requires_grad(true); });

  const saferclip::LogitScales scales{.reference_scale = 100};  // exp(logit_scale) of CLIP
  const auto inputs = saferclip::make_loss_inputs(options, constants, tuned, scales);
  const auto result = saferclip::compute_losses(options, inputs, saferclip::count_rows(inputs));
  result.total.backward();

  std::cout << std::setprecision(12) << "targets " << targets.index.sizes() << ':';
  for (std::int64_t i = 0; i < own.size(0); ++i) {
    std::cout << ' ' << targets.index[i].item<std::int64_t>();
  }
  for (const saferclip::LossTerm& term : result.terms) {
    std::cout << '\n' << term.name << ' ' << term.value.item<double>();
  }
  std::cout << "\ntotal " << result.total.item<double>() << "\ngradient of unsafe_text "
            << tuned.unsafe_text.grad().norm().item<double>() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: objective ROWS.safetensors\n";
    return 2;
  }
  try {
    show_objective(argv[1]);
    return 0;
  } catch (const saferclip::Error& problem) {
    std::cerr << "objective: " << problem.what() << '\n';
    return problem.exit_code();
  }
}
