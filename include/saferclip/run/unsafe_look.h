// Which images look unsafe, judged by a run's own captions.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/run/session.h"

namespace saferclip {

// An image looks unsafe if the caption nearest to it, among both captions of up to 500 training
// rows spread evenly, is an unsafe one. `model` is the run's base, which still knows what is
// unsafe; `images` are its L2-normalized rows [N, E]. No value, with a warning, if the training
// rows cannot be read or have no unsafe captions.
std::optional<std::vector<bool>> looks_unsafe(const Session& session, const ClipModel& model,
                                              const at::Tensor& images, Logger& log,
                                              const StopFlag& stop);

}  // namespace saferclip
