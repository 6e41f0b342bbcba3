// Embeds with the functions that the evaluation uses, so the rows agree with its rows. All pictures
// are decoded before the first is embedded, and every bad one is reported at once. Texts need a
// Preparer only for tokenization, so its data options are the defaults.
#include "saferclip/run/embed_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {
namespace {

// The pictures that this process embeds; the others' memory is never touched.
at::Tensor load_pictures(const std::vector<std::string>& files, const Preprocessing& preprocessing,
                         const DecodeOptions& options, const EmbedJob& job) {
  const std::int64_t side = preprocessing.image_size;
  const auto count = static_cast<std::int64_t>(files.size());
  at::Tensor pixels = at::empty({count, side, side, 3}, at::kByte);
  const std::vector<bool> is_own = is_embedded_here(count, job);
  nlohmann::ordered_json problems = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!is_own[i]) continue;
    if (job.processes.is_alone()) throw_if_stopped(job.stop, "embedding: interrupted");
    try {
      const Image image = load_preprocessed(files[i], preprocessing, options);
      std::copy(image.pixels.begin(), image.pixels.end(),
                pixels.mutable_data_ptr<std::uint8_t>() + i * image.pixels.size());
    } catch (const DataError& problem) {
      problems.push_back({i, problem.what()});
    }
  }
  std::map<std::size_t, std::string> all;
  for (const std::string& text : job.processes.gather_texts(problems.dump())) {
    for (const nlohmann::ordered_json& problem : nlohmann::ordered_json::parse(text)) {
      all.emplace(problem[0].get<std::size_t>(), problem[1].get<std::string>());
    }
  }
  if (all.empty()) return pixels;
  // The first process says it for all.
  if (!job.processes.is_first()) job.processes.barrier("unusable images");
  std::vector<std::string> lines;
  for (const auto& [position, line] : all) lines.push_back(line);
  throw DataError(join_problems("--images: these images cannot be used:", lines));
}

}  // namespace

std::vector<NamedTensor> embed_rows(const Session& session, const ClipModel& model,
                                    const EmbedRequest& request, Logger& log,
                                    const StopFlag& stop) {
  EmbedJob job{log, "embedding"};
  job.stop = &stop;
  job.processes = session.processes;
  std::vector<NamedTensor> rows;
  if (!request.images.empty()) {
    const Preprocessing& preprocessing = session.source.preprocessing;
    DecodeOptions options;
    options.exif_rotate = request.exif_rotate;
    const at::Tensor pixels = load_pictures(request.images, preprocessing, options, job);
    rows.push_back({"image", embed_pixels(model, preprocessing, pixels, job)});
  }
  if (!request.texts.empty()) {
    const DataOptions data;
    const Preparer preparer(data, session.source, *session.tokenizer, session.device, log);
    rows.push_back({"text", embed_ids(model, preparer.token_ids(request.texts, "texts"), job)});
  }
  return rows;
}

}  // namespace saferclip
