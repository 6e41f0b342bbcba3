// Options of the commands that take plain weights. A run's configuration decides the same things,
// so the options are refused for a run rather than ignored. Opening plain weights goes through the
// session of a default configuration, so all commands load alike.
#include "cli/weights_arguments.h"

#include "cli/commands.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

void add_weights_arguments(CLI::App& command, WeightsArguments& arguments, const std::string& name,
                           const std::string& description) {
  path_option(command.add_option(name, arguments.path, description))->required();
  std::vector<std::string> words{"auto"};
  for (const std::string& word : words_of<Activation>()) words.push_back(word);
  command
      .add_option_function<std::string>(
          "--activation",
          [&arguments](const std::string& word) {
            arguments.activation = enum_from<Activation>(word);
          },
          "quick_gelu, gelu or gelu_pytorch_tanh, if the weights do not say")
      ->check(CLI::IsMember(words));
  path_option(command.add_option(
      "--architecture", arguments.architecture,
      "Geometry of a weights file that does not state it (configs/models/*.json)"));
  path_option(command.add_option("--adapter", arguments.adapter,
                                 "PEFT adapter folder or LoRA file to merge in"));
  path_option(
      command.add_option("--tokenizer", arguments.tokenizer,
                         "Folder with vocab.json and merges.txt, a SentencePiece model, or clip"));
  command
      .add_option("--image-size", arguments.image_size,
                  "Image size in pixels; position embeddings are interpolated")
      ->check(CLI::Range(1, 4096));
}

ModelOptions model_options(const WeightsArguments& arguments) {
  ModelOptions options;
  options.weights = options.written_weights = arguments.path;
  options.activation = arguments.activation;
  options.architecture = arguments.architecture;
  options.adapter = arguments.adapter;
  options.tokenizer = arguments.tokenizer;
  if (arguments.image_size > 0) options.image_size = arguments.image_size;
  return options;
}

void require_no_options(const WeightsArguments& arguments) {
  const WeightsArguments plain;
  for (const auto& [name, is_given] :
       {std::pair<const char*, bool>{"--activation", arguments.activation != plain.activation},
        {"--architecture", arguments.architecture != plain.architecture},
        {"--adapter", arguments.adapter != plain.adapter},
        {"--tokenizer", arguments.tokenizer != plain.tokenizer},
        {"--image-size", arguments.image_size != plain.image_size}}) {
    if (is_given) {
      throw ConfigError(cat(name, ": works only with plain weights; ", arguments.path,
                            " is a run, whose configuration sets this"));
    }
  }
}

Session open_plain_weights(const WeightsArguments& arguments, const ComputeOptions& compute,
                           Logger& log) {
  return open_session(model_options(arguments), compute, log);
}

}  // namespace saferclip
