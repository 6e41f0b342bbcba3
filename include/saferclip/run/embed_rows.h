// Embeddings of single pictures and texts, for other tools.
#pragma once

#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/run/session.h"

namespace saferclip {

struct EmbedRequest {
  std::vector<std::string> images;  // files
  std::vector<std::string> texts;
  bool exif_rotate = false;
};

// L2-normalized fp32 rows `image` and `text` [N, D], those that were asked for, in order. Throws
// DataError with all pictures that cannot be used.
std::vector<NamedTensor> embed_rows(const Session& session, const ClipModel& model,
                                    const EmbedRequest& request, Logger& log);

}  // namespace saferclip
