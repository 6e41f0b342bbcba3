// `inspect`: prints what a file or folder is, as lines or as JSON. Both show the same document
// (run/description.h), whose keys depend on the kind. Among the lines, a list of tensors takes one
// per tensor, with dtype and shape.
#include <algorithm>
#include <iostream>

#include "cli/commands.h"
#include "cli/next_step.h"
#include "saferclip/run/description.h"

namespace saferclip {
namespace {

void print(const OrderedJson& json) {
  for (const auto& [key, value] : json.items()) {
    if (key == "tensors" && value.is_object()) {
      std::cout << value.size() << " tensors:\n";
      for (const auto& [name, tensor] : value.items()) {
        std::cout << "  " << name << "  " << tensor["dtype"].get<std::string>() << ' '
                  << tensor["shape"].dump() << '\n';
      }
    } else {
      std::cout << (key + std::string(14, ' ')).substr(0, std::max<std::size_t>(14, key.size() + 1))
                << (value.is_string() ? value.get<std::string>() : value.dump()) << '\n';
    }
  }
}

// Says what can be done with a model; a damaged checkpoint, a cache or an adapter alone is none.
void say_after_inspection(const OrderedJson& json, const std::string& path,
                          const GlobalOptions& globals, Logger& log) {
  const bool is_run = json["kind"] == "run" && !json["latest"].is_null();
  const bool is_checkpoint = json["kind"] == "checkpoint" && json["state"] == "good";
  if (is_run || is_checkpoint) {
    say_next(log, command_text({"evaluate", path}, globals));
  } else if (json.contains("weights") && json.contains("geometry")) {
    say_next(log, command_text({"init", "--weights", path}, globals));
  }
}

}  // namespace

CommandAction add_inspect_command(CLI::App& command) {
  struct Arguments {
    std::string path;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  path_option(
      command.add_option("PATH", arguments->path, "Weights, adapter, cache, checkpoint or run"))
      ->required();
  command.add_flag("--json", arguments->json, "Print one JSON document");
  command.footer("Example:\n  saferclip inspect runs/safe/checkpoints/step_00000500");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    const OrderedJson json = describe_path(arguments->path, log);
    if (arguments->json) {
      std::cout << json.dump(2) << '\n';
    } else {
      print(json);
      std::cout.flush();
      say_after_inspection(json, arguments->path, globals, log);
    }
    return 0;
  };
}

}  // namespace saferclip
