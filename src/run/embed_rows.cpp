// Embeds with the functions that the evaluation uses, so the rows agree with its rows. All pictures
// are decoded before the first is embedded, and every bad one is reported at once. Texts need a
// Preparer only for tokenization, so its data options are the defaults.
#include "saferclip/run/embed_rows.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {
namespace {

at::Tensor load_pictures(const std::vector<std::string>& files, const Preprocessing& preprocessing,
                         const DecodeOptions& options) {
  const std::int64_t side = preprocessing.image_size;
  at::Tensor pixels =
      at::empty({static_cast<std::int64_t>(files.size()), side, side, 3}, at::kByte);
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < files.size(); ++i) {
    try {
      const Image image = load_preprocessed(files[i], preprocessing, options);
      std::copy(image.pixels.begin(), image.pixels.end(),
                pixels.mutable_data_ptr<std::uint8_t>() + i * image.pixels.size());
    } catch (const DataError& problem) {
      problems.emplace_back(problem.what());
    }
  }
  if (!problems.empty())
    throw DataError(join_problems("--images: these images cannot be used:", problems));
  return pixels;
}

}  // namespace

std::vector<NamedTensor> embed_rows(const Session& session, const ClipModel& model,
                                    const EmbedRequest& request, Logger& log) {
  std::vector<NamedTensor> rows;
  if (!request.images.empty()) {
    const Preprocessing& preprocessing = session.source.preprocessing;
    DecodeOptions options;
    options.exif_rotate = request.exif_rotate;
    const at::Tensor pixels = load_pictures(request.images, preprocessing, options);
    rows.push_back({"image", embed_pixels(model, preprocessing, pixels, {log, "embedding"})});
  }
  if (!request.texts.empty()) {
    const DataOptions data;
    const Preparer preparer(data, session.source, *session.tokenizer, session.device, log);
    rows.push_back(
        {"text", embed_ids(model, preparer.token_ids(request.texts, "texts"), {log, "embedding"})});
  }
  return rows;
}

}  // namespace saferclip
