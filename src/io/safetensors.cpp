// Weights files come from strangers, so the whole header is validated first: JSON of bounded depth
// without duplicate names, sizes by overflow-checked arithmetic, and spans that cover the data
// exactly. After that a tensor is a view into the memory map; nothing is copied.
#include "saferclip/io/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "io/safetensors_dtype.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

namespace saferclip {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;

constexpr std::array<SafetensorsDtype, 16> kDtypes{{
    {"BOOL", 8, c10::ScalarType::Bool},
    {"U8", 8, c10::ScalarType::Byte},
    {"I8", 8, c10::ScalarType::Char},
    {"I16", 16, c10::ScalarType::Short},
    {"U16", 16, std::nullopt},
    {"F16", 16, c10::ScalarType::Half},
    {"BF16", 16, c10::ScalarType::BFloat16},
    {"I32", 32, c10::ScalarType::Int},
    {"U32", 32, std::nullopt},
    {"F32", 32, c10::ScalarType::Float},
    {"C64", 64, std::nullopt},
    {"F64", 64, c10::ScalarType::Double},
    {"I64", 64, c10::ScalarType::Long},
    {"U64", 64, std::nullopt},
    {"F8_E5M2", 8, std::nullopt},
    {"F8_E4M3", 8, std::nullopt},
}};

[[noreturn]] void refuse(const MappedFile& file, const std::string& what) {
  throw WeightsError(cat(file.path().string(), ": not a valid safetensors file: ", what));
}

// Also refuses duplicate keys, of which nlohmann's parser silently keeps the last, and deep
// nesting, which could overflow the stack; a valid header has four levels.
Json parse_header(const MappedFile& file, const char* begin, const char* end) {
  std::vector<std::set<std::string>> open_objects;
  std::string duplicate;
  bool is_too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > 8) is_too_deep = true;
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && duplicate.empty() &&
        !open_objects.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return !is_too_deep;
  };
  Json header;
  try {
    header = Json::parse(begin, end, watch);
  } catch (const Json::exception& problem) {
    refuse(file, cat("the header is not JSON (", problem.what(), ")"));
  }
  if (is_too_deep) refuse(file, "the header is nested too deeply");
  if (!duplicate.empty()) refuse(file, cat("the name \"", duplicate, "\" appears twice"));
  if (!header.is_object()) refuse(file, "the header is not a JSON object");
  return header;
}

std::uint64_t checked_product(const MappedFile& file, const std::string& name,
                              const std::vector<std::int64_t>& shape, std::uint64_t bits) {
  std::uint64_t product = bits;
  for (const std::int64_t extent : shape) {
    const auto factor = static_cast<std::uint64_t>(extent);
    if (factor != 0 && product > std::numeric_limits<std::uint64_t>::max() / factor) {
      refuse(file, cat("the size of tensor \"", name, "\" overflows"));
    }
    product *= factor;
  }
  return product / 8;
}

TensorEntry parse_entry(const MappedFile& file, const std::string& name, const Json& json,
                        std::uint64_t data_begin) {
  const auto problem = [&](const std::string& what) {
    refuse(file, cat("tensor \"", name, "\": ", what));
  };
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets")) {
    problem("expected exactly dtype, shape and data_offsets");
  }
  TensorEntry entry;
  if (!json["dtype"].is_string()) problem("dtype is not a string");
  entry.dtype = json["dtype"].get<std::string>();
  const SafetensorsDtype* dtype = find_safetensors_dtype(entry.dtype);
  if (dtype == nullptr) problem(cat("unknown dtype \"", entry.dtype, "\""));
  if (!json["shape"].is_array()) problem("shape is not a list");
  for (const Json& extent : json["shape"]) {
    if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > INT64_MAX) {
      problem("shape must contain only non-negative integers");
    }
    entry.shape.push_back(extent.get<std::int64_t>());
  }
  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    problem("data_offsets is not a pair of non-negative integers");
  }
  const auto begin = offsets[0].get<std::uint64_t>();
  const auto end = offsets[1].get<std::uint64_t>();
  const std::uint64_t available = file.size() - data_begin;
  if (begin > end || end > available) {
    problem(cat("data_offsets [", begin, ", ", end, "] exceed the ", available,
                " bytes of data; the file is truncated or damaged"));
  }
  const std::uint64_t expected = checked_product(file, name, entry.shape, dtype->bits);
  if (end - begin != expected) {
    problem(cat("holds ", end - begin, " bytes, but shape and dtype need ", expected));
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

void require_gapless(const MappedFile& file, const std::map<std::string, TensorEntry>& entries,
                     std::uint64_t data_begin) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
  spans.reserve(entries.size());
  for (const auto& [name, entry] : entries) spans.emplace_back(entry.begin, entry.end);
  std::sort(spans.begin(), spans.end());
  std::uint64_t next = data_begin;
  for (const auto& [begin, end] : spans) {
    if (begin != next) refuse(file, cat("tensor data overlap or leave a gap at byte ", next));
    next = end;
  }
  if (next != file.size()) {
    refuse(file, cat("the tensors end at byte ", next, ", the file at ", file.size(),
                     "; it is truncated or has extra bytes"));
  }
}

}  // namespace

const SafetensorsDtype* find_safetensors_dtype(const std::string& name) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                  [&](const SafetensorsDtype& d) { return name == d.name; });
  return found == kDtypes.end() ? nullptr : &*found;
}

const SafetensorsDtype* find_safetensors_dtype(c10::ScalarType type) {
  const auto found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                  [&](const SafetensorsDtype& d) { return d.scalar_type == type; });
  return found == kDtypes.end() ? nullptr : &*found;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile result;
  try {
    result.file_ = MappedFile::open(path);
  } catch (const DataError& problem) {
    throw WeightsError(problem.what());
  }
  const MappedFile& file = *result.file_;
  std::uint64_t length = 0;
  if (file.size() < sizeof(length)) {
    refuse(file, cat("it has ", file.size(), " bytes, fewer than the 8-byte header length"));
  }
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxHeader)
    refuse(file, cat("the header claims ", length, " bytes, more than the limit of ", kMaxHeader));
  if (length > file.size() - sizeof(length)) {
    refuse(file, cat("the header claims ", length, " bytes, the file has ",
                     file.size() - sizeof(length), "; it is truncated"));
  }
  const char* begin = reinterpret_cast<const char*>(file.data()) + sizeof(length);
  if (length == 0 || *begin != '{') refuse(file, "the header does not start with {");
  const Json header = parse_header(file, begin, begin + length);
  const std::uint64_t data_begin = sizeof(length) + length;
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") {
      result.entries_.emplace(name, parse_entry(file, name, json, data_begin));
      continue;
    }
    if (!json.is_object()) refuse(file, "__metadata__ is not an object");
    for (const auto& [key, value] : json.items()) {
      if (!value.is_string()) refuse(file, cat("__metadata__ \"", key, "\" is not a string"));
      result.metadata_.emplace(key, value.get<std::string>());
    }
  }
  require_gapless(file, result.entries_, data_begin);
  return result;
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw WeightsError(cat(path().string(), ": has no tensor \"", name, "\""));
  }
  const TensorEntry& entry = found->second;
  const auto type = find_safetensors_dtype(entry.dtype)->scalar_type;
  if (!type) {
    throw WeightsError(cat(path().string(), ": tensor \"", name, "\" has dtype ", entry.dtype,
                           ", which is not supported; convert it to F32, F16 or BF16"));
  }
  auto* data = const_cast<std::byte*>(file_->data() + entry.begin);
  const auto options = at::TensorOptions().dtype(*type);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(data) % c10::elementSize(*type) == 0;
  if (!is_aligned || entry.begin == entry.end) {
    at::Tensor copy = at::empty(entry.shape, options);
    if (entry.begin != entry.end) std::memcpy(copy.data_ptr(), data, entry.end - entry.begin);
    return copy;
  }
  return at::from_blob(
      data, entry.shape, [keep = file_](void*) {}, options);
}

std::vector<NamedTensor> SafetensorsFile::tensors() const {
  std::vector<NamedTensor> all;
  all.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) all.push_back({name, tensor(name)});
  return all;
}

}  // namespace saferclip
