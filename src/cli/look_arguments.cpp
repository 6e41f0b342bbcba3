#include "cli/look_arguments.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/next_step.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/compare_runs.h"
#include "saferclip/run/run_reference.h"

namespace saferclip {

void add_look_arguments(CLI::App& command, LookArguments& arguments) {
  add_weights_arguments(command, arguments.source, "MODEL|RUN",
                        "Weights folder or file, run folder (before and after) or checkpoint");
  command.add_option("--checkpoint", arguments.checkpoint, "For a run: latest, best or a step");
  add_run_overrides(command, arguments.overrides);
  path_option(command.add_option("--images", arguments.images,
                                 "Folder of images, with those in folders below it"))
      ->required();
  command.add_flag("--exif-rotate", arguments.exif_rotate,
                   "Rotate images by their EXIF orientation; always on for a run with "
                   "data.exif_rotate");
  path_option(command.add_option("--cache", arguments.cache,
                                 "Folder that keeps decoded and embedded images; default: the "
                                 "run's data.cache_dir, or cache"));
  command.add_flag("--json", arguments.json, "Print a JSON document instead of the table");
}

LookRequest look_request(const LookArguments& arguments, const std::vector<std::string>& texts,
                         const ComputeOptions& compute) {
  if (is_run_path(arguments.source.path)) {
    require_no_options(arguments.source);
  } else if (!arguments.overrides.empty()) {
    throw ConfigError(cat("--set: works only with a run; ", arguments.source.path, " is not one"));
  }
  LookRequest request;
  request.model = model_options(arguments.source);
  request.checkpoint = arguments.checkpoint;
  request.overrides = arguments.overrides;
  request.compute = compute;
  request.images = arguments.images;
  request.cache_dir = arguments.cache;
  request.exif_rotate = arguments.exif_rotate;
  request.texts = texts;
  return request;
}

void require_no_image(const std::string& option, const std::filesystem::path& file,
                      const Look& look) {
  for (const std::filesystem::path& image : look.files) {
    if (std::error_code ignored; std::filesystem::equivalent(file, image, ignored)) {
      throw ConfigError(cat(option, " ", file.string(), ": is ", image.string(),
                            ", which this command reads; name another file"));
    }
  }
}

void print_document(const OrderedJson& document) {
  std::cout << document.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << '\n';
}

void say_after_look(const LookArguments& arguments, const GlobalOptions& globals, Logger& log) {
  std::cout.flush();
  const std::string& path = arguments.source.path;
  std::vector<std::string> words{"init", "--weights", path};
  if (is_run_path(path)) {
    const bool is_measured = is_evaluated(resolve_run(path).run_folder, "", log);
    words = {is_measured ? "report" : "evaluate", path};
  }
  for (const std::string& setting : arguments.overrides) {
    words.insert(words.end(), {"--set", setting});
  }
  say_next(log, command_text(words, globals));
}

}  // namespace saferclip
