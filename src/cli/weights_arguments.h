// Options shared by the commands that take plain weights as well as runs.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/commands.h"

namespace saferclip {

struct WeightsArguments {
  std::string path;
  std::optional<Activation> activation;  // none: what the weights say
  std::string architecture;
  std::string adapter;
  std::string tokenizer = "auto";
  std::int64_t image_size = 0;  // 0: that of the weights
};

// Adds the positional argument and --activation, --architecture, --adapter, --tokenizer,
// --image-size.
void add_weights_arguments(CLI::App& command, WeightsArguments& arguments, const std::string& name,
                           const std::string& description);

// Converts the arguments to model options.
ModelOptions model_options(const WeightsArguments& arguments);

// Throws ConfigError if one of the options is given for a run, whose configuration decides it.
void require_no_options(const WeightsArguments& arguments);

// Opens a session on plain weights. Throws as open_session does.
Session open_plain_weights(const WeightsArguments& arguments, const ComputeOptions& compute,
                           Logger& log);

}  // namespace saferclip
