// `inspect`: prints what a file or folder is, as lines or as JSON. Both show the same document
// (run/description.h), whose keys depend on the kind. Among the lines, a list of tensors takes one
// per tensor, with dtype and shape.
#include <algorithm>
#include <iostream>

#include "cli/commands.h"
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
  return [arguments](const GlobalOptions&, Logger& log) {
    const OrderedJson json = describe_path(arguments->path, log);
    if (arguments->json) {
      std::cout << json.dump(2) << '\n';
    } else {
      print(json);
    }
    return 0;
  };
}

}  // namespace saferclip
