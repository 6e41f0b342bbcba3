// hysac.json: what a client needs besides the weights of a model that objective hysac tuned.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/core/lorentz.h"
#include "saferclip/core/named_tensor.h"
#include "saferclip/run/session.h"

namespace saferclip {

inline constexpr const char* kHysacFile = "hysac.json";

// Its content for a checkpoint: the curvature c (a number above 0), the logarithms alpha_image,
// alpha_text and logit_scale, and the radii of safe captions and pictures as the run's evaluation
// of this step found them; bounds are null if the run has none.
std::string hysac_file_text(const Session& session, const std::filesystem::path& checkpoint,
                            const std::vector<NamedTensor>& trained);

// Whether such a content lacks the bounds.
bool lacks_bounds(const std::string& text);

// The scalars of such a file, 0-d float64. Throws WeightsError that names each missing key.
LorentzScalars read_hysac_file(const std::filesystem::path& file);

// The section of a model card that says how to use it.
std::string hysac_card_section();

}  // namespace saferclip
