// `classify`: prints the best of some labels for each image of a folder, for a run before and after
// side by side. The file of --csv is checked before a model is loaded.
#include <filesystem>
#include <iostream>

#include "cli/commands.h"
#include "cli/look_arguments.h"
#include "cli/signals.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/output.h"
#include "saferclip/run/classify_images.h"

namespace saferclip {
namespace {

struct ClassifyArguments {
  LookArguments look;
  std::string labels;
  std::string prompt_template = "a photo of a {}";
  std::string csv;
};

int classify(const ClassifyArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::vector<std::string> labels = read_labels(arguments.labels);
  const std::vector<std::string> prompts = label_prompts(labels, arguments.prompt_template);
  const std::filesystem::path csv =
      arguments.csv.empty()
          ? std::filesystem::path()
          : output_file("--csv", arguments.csv, "name a file, or print a document with --json");
  const StopFlag& stop = ask_before_ending(kGrace);
  const Look look = look_at(look_request(arguments.look, prompts, globals), log, stop);
  const Classification result = classify_images(look, labels);
  if (!csv.empty()) {
    require_no_image("--csv", csv, look);
    write_file_atomically(csv, classification_csv(look, result));
    log.info("wrote " + arguments.csv);
  }
  if (arguments.look.json) {
    print_document(classification_json(look, result));
    return 0;
  }
  std::cout << classification_table(look, result);
  say_after_look(arguments.look, globals, log);
  return 0;
}

}  // namespace

CommandAction add_classify_command(CLI::App& command) {
  auto arguments = std::make_shared<ClassifyArguments>();
  add_look_arguments(command, arguments->look);
  path_option(command.add_option("--labels", arguments->labels,
                                 "Labels between commas, or a file with one per line"))
      ->required();
  command.add_option("--template", arguments->prompt_template,
                     "Text of a label, which takes the place of {}");
  path_option(command.add_option("--csv", arguments->csv, "Write all images to this file"));
  command.footer(
      "Examples:\n"
      "  saferclip classify runs/mine --images photos --labels \"cat,dog,weapon\"\n"
      "  saferclip classify clip-vit-l14 --images photos --labels labels.txt --csv labels.csv\n"
      "p is a softmax over the labels at the model's logit scale: it compares the labels, and one\n"
      "of them always wins. Embeddings of the images are kept in the cache folder.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return classify(*arguments, globals, log);
  };
}

}  // namespace saferclip
