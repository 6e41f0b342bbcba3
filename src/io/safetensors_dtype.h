// The dtypes of safetensors and their LibTorch counterparts.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <string>

namespace saferclip {

struct SafetensorsDtype {
  const char* name;
  std::uint64_t bits;
  std::optional<c10::ScalarType> scalar_type;  // empty: valid in the format, not readable here
};

// Null if the format has no such dtype.
const SafetensorsDtype* find_safetensors_dtype(const std::string& name);
const SafetensorsDtype* find_safetensors_dtype(c10::ScalarType type);

}  // namespace saferclip
