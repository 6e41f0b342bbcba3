// Commands that take plain weights as well as runs share these options.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>

#include "cli/commands.h"

namespace saferclip {

struct WeightsArguments {
  std::string path;
  std::string activation = "auto";
  std::string architecture;
  std::string adapter;
  std::string tokenizer = "auto";
  std::int64_t image_size = 0;  // 0: the weights' own
};

// The positional argument and --activation, --architecture, --adapter, --tokenizer,
// --image-size.
void add_weights_arguments(CLI::App& command, WeightsArguments& arguments, const std::string& name,
                           const std::string& description);

// The model options that these arguments stand for.
ModelOptions model_options(const WeightsArguments& arguments);

// Throws ConfigError when one of the options is given for a run, whose configuration says it.
void require_no_options(const WeightsArguments& arguments);

// A session on plain weights. Throws as open_session does.
Session open_plain_weights(const WeightsArguments& arguments, const GlobalOptions& globals,
                           Logger& log);

}  // namespace saferclip
