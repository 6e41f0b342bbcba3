// A model's embeddings of a folder of images and of some texts: what `search` and `classify` start
// from.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/eval/document.h"
#include "saferclip/model/model_options.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct LookRequest {
  ModelOptions model;                  // of plain weights; `weights` may also be a run's path
  std::string checkpoint = "latest";   // for a run: latest, best or a step
  std::vector<std::string> overrides;  // of the run's configuration
  ComputeOptions compute;
  std::filesystem::path images;  // a folder
  std::string cache_dir;         // empty: the run's own; for plain weights "cache"
  bool exif_rotate = false;      // always on for a run with data.exif_rotate
  bool judges_images = false;    // of a run: which images look unsafe
  std::vector<std::string> texts;
};

// One model of a look. Rows are L2-normalized fp32.
struct LookSide {
  std::string name;   // "before" and "after" of a run; "model"
  at::Tensor images;  // [N, E]
  at::Tensor texts;   // [T, E]
  double scale = 1;   // of the logits
};

struct Look {
  std::filesystem::path folder;
  std::vector<std::filesystem::path> files;  // the N usable images, sorted
  std::vector<std::string> names;            // the same, relative to the folder
  std::int64_t other_files = 0;              // files that are no images
  std::int64_t unusable = 0;                 // images that cannot be decoded
  bool exif_rotate = false;                  // as the images were decoded
  std::vector<LookSide> sides;
  // Per file; empty: not judged, or it cannot be known (unsafe_look.h).
  std::vector<bool> looks_unsafe;
};

// Embeddings of images are kept in the cache folder. Warns about what it skips. Throws ConfigError,
// DataError (no usable image), WeightsError, Interrupted.
Look look_at(const LookRequest& request, Logger& log, const StopFlag& stop);

// What a document about a look begins with: its folder, and what was counted in it.
OrderedJson look_json(const Look& look);

}  // namespace saferclip
