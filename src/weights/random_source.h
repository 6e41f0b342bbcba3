// Randomly initialized weights.
#pragma once

#include <cstdint>
#include <filesystem>

#include "saferclip/weights/weights.h"

namespace saferclip {

// `architecture`: a config.json that may hold an image processor under `preprocessing`. Equal seeds
// give equal weights.
WeightsSource open_random(const std::filesystem::path& architecture, const ModelOptions& options,
                          std::uint64_t seed);

}  // namespace saferclip
