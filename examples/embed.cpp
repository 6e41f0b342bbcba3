// Embeds one image and one caption with any CLIP or SigLIP, and prints their cosine.
//   embed WEIGHTS IMAGE CAPTION
#include <ATen/core/Tensor.h>
#include <saferclip/core/error.h>
#include <saferclip/core/log.h>
#include <saferclip/core/stop.h>
#include <saferclip/run/embed_rows.h>
#include <saferclip/run/session.h>
#include <saferclip/weights/weights.h>

#include <iomanip>
#include <iostream>

namespace {

double cosine(const std::string& weights, const std::string& image, const std::string& caption) {
  saferclip::Logger log(saferclip::LogLevel::kWarn);
  saferclip::ModelOptions options;
  options.weights = weights;  // as model.weights of a configuration: a folder or a file

  // Finds out what the weights are, and opens the tokenizer and preprocessing that belong to them.
  const saferclip::Session session = saferclip::open_session(options, {.device = "auto"}, log);
  const saferclip::ClipModel model =
      saferclip::load_clip(session.source, at::kFloat, session.device);

  const saferclip::StopFlag stop;  // another thread may call stop.request() to interrupt
  const std::vector<saferclip::NamedTensor> rows =
      saferclip::embed_rows(session, model, {.images = {image}, .texts = {caption}}, log, stop);
  // "image" and "text", [1, E] each: fp32, L2-normalized, on the CPU.
  return rows[0].tensor.to(at::kDouble).mul(rows[1].tensor).sum().item<double>();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: embed WEIGHTS IMAGE CAPTION\n";
    return 2;
  }
  try {
    std::cout << std::setprecision(9) << cosine(argv[1], argv[2], argv[3]) << '\n';
    return 0;
  } catch (const saferclip::Error& problem) {
    std::cerr << "embed: " << problem.what() << '\n';
    return problem.exit_code();
  }
}
