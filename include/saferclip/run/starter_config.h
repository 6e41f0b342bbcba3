// Writes a configuration for a user's own weights and data, with values that fit them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/run/captioned_folder.h"
#include "saferclip/run/config_check.h"
#include "saferclip/run/session.h"

namespace saferclip {

// What values are chosen from.
struct StarterFacts {
  Family family = Family::kClip;
  std::int64_t rows = 0;
  std::int64_t bad_rows = 0;
  std::int64_t rows_read = 0;
  bool has_unsafe = false;
  Precision precision = Precision::kFp32;  // the fastest of the device
  // Memory in bytes that a pass over so many rows takes, and what there is; 0: unknown.
  std::function<std::uint64_t(std::int64_t rows)> needed_bytes;
  std::uint64_t available_bytes = 0;
};

struct StarterValues {
  ObjectiveName objective = ObjectiveName::kSaferClip;
  std::int64_t batch_size = 48;
  std::optional<std::int64_t> micro_batch_size;
  Precision precision = Precision::kFp32;
  bool skips_bad_rows = false;
  bool fits = true;  // false: not even one row at a time is predicted to fit
};

// `objective`: as the user wants it; none: by the data. Throws ConfigError if it needs unsafe
// captions that the data lacks.
StarterValues choose_values(const StarterFacts& facts, std::optional<ObjectiveName> objective);

struct StarterRequest {
  std::filesystem::path out;  // checked by output_file
  std::string weights;
  std::string data;        // a manifest, or a folder of images with captions
  std::string unsafe;      // the folder of the unsafe side, if `data` is a folder
  std::string validation;  // as data, safe side alone if it is a folder
  std::string name;        // of the run; empty: after the weights
  std::string from;        // the template; empty: none
  std::optional<ObjectiveName> objective;
  PairBy pair_by = PairBy::kName;  // of `data` and `unsafe`
  ComputeOptions compute;
  bool may_overwrite = false;
};

struct StarterResult {
  std::vector<std::string> seen;      // what was found in the inputs, one line each
  std::vector<std::string> warnings;  // about the inputs
  std::vector<std::string> written;   // files, the configuration last
  std::vector<std::string> open;      // keys that the user still has to fill in (templates)
  std::string run;                    // runs/NAME
  bool has_validation = false;
  ConfigFindings findings;  // of `config check`; empty if keys are still open
};

// Writes the configuration, and a manifest beside it for each folder of images. Without a template
// `weights` and `data` are required. Throws ConfigError, DataError and WeightsError with all
// problems of the inputs before anything is written.
StarterResult write_starter_config(const StarterRequest& request);

}  // namespace saferclip
