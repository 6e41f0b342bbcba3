// Options shared by the commands that look at a folder of images with a model or a run.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/weights_arguments.h"
#include "saferclip/eval/document.h"
#include "saferclip/run/look.h"

namespace saferclip {

struct LookArguments {
  WeightsArguments source;
  std::string checkpoint = "latest";
  std::vector<std::string> overrides;
  std::string images;
  std::string cache;
  bool exif_rotate = false;
  bool json = false;
};

// Adds MODEL|RUN, what describes plain weights, --checkpoint, --set, --images, --exif-rotate,
// --cache and --json.
void add_look_arguments(CLI::App& command, LookArguments& arguments);

// Throws ConfigError for options that do not fit what the path names.
LookRequest look_request(const LookArguments& arguments, const std::vector<std::string>& texts,
                         const ComputeOptions& compute);

// Throws ConfigError if `file`, an output, is one of the images.
void require_no_image(const std::string& option, const std::filesystem::path& file,
                      const Look& look);

// Prints a document; bytes of paths that are not UTF-8 become U+FFFD.
void print_document(const OrderedJson& document);

// Says what can be done with the model or run.
void say_after_look(const LookArguments& arguments, const GlobalOptions& globals, Logger& log);

}  // namespace saferclip
