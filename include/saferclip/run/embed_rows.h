// Embeds single pictures and texts, for other tools.
#pragma once

#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/named_tensor.h"
#include "saferclip/core/stop.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct EmbedRequest {
  std::vector<std::string> images;  // paths of files
  std::vector<std::string> texts;   // UTF-8, not cleaned yet
  bool exif_rotate = false;         // apply the images' EXIF orientation
};

// L2-normalized fp32 rows [N, D] named `image` and `text`, in the order of the request; a kind that
// was not requested is left out. The rows are on the CPU and the caller's own. `model` is on
// session.device, as load_clip leaves it. Several processes share the work, and each gets all rows.
// Throws DataError listing every unusable picture, and Interrupted once `stop` is set.
std::vector<NamedTensor> embed_rows(const Session& session, const ClipModel& model,
                                    const EmbedRequest& request, Logger& log, const StopFlag& stop);

}  // namespace saferclip
