// `embed`: writes embeddings of pictures and texts as one safetensors file, from plain weights or
// from a run's checkpoint. Options that describe plain weights are refused for a run, whose
// configuration decides them. The output path is checked before a model is loaded, and never
// overwrites a file that the command reads.
#include <ATen/ATen.h>

#include <iostream>

#include "cli/commands.h"
#include "cli/weights_arguments.h"
#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/run/embed_rows.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_reference.h"

namespace saferclip {
namespace {

struct EmbedArguments {
  WeightsArguments source;
  std::string checkpoint = "latest";
  std::vector<std::string> overrides;
  std::vector<std::string> images;
  std::vector<std::string> texts;
  std::string texts_file;
  std::string out;
  bool exif_rotate = false;
};

struct LoadedModel {
  Session session;
  ClipModel model;
};

LoadedModel load_any(const EmbedArguments& arguments, const GlobalOptions& globals, Logger& log) {
  LoadedModel loaded;
  if (is_run_path(arguments.source.path)) {
    require_no_options(arguments.source);
    const RunReference run = resolve_run(arguments.source.path);
    const auto checkpoint = choose_checkpoint(run, arguments.checkpoint, log);
    loaded.session = open_run(run.run_folder, arguments.overrides, globals, log);
    loaded.model =
        load_tuned(loaded.session, read_trained(loaded.session, checkpoint), checkpoint.string());
    return loaded;
  }
  if (!arguments.overrides.empty()) {
    throw ConfigError(cat("--set: works only with a run; ", arguments.source.path, " is not one"));
  }
  loaded.session = open_plain_weights(arguments.source, globals, log);
  loaded.model = load_clip(loaded.session.source, at::kFloat, loaded.session.device);
  return loaded;
}

std::vector<std::string> all_texts(const EmbedArguments& arguments) {
  std::vector<std::string> texts = arguments.texts;
  if (!arguments.texts_file.empty()) {
    const std::vector<std::string> lines = read_all_lines(arguments.texts_file);
    if (lines.empty()) {
      throw DataError(cat(arguments.texts_file, ": is empty; expected one text per line"));
    }
    texts.insert(texts.end(), lines.begin(), lines.end());
  }
  return texts;
}

// Throws ConfigError if the output would overwrite an input.
void require_not_read(const std::filesystem::path& out, const EmbedArguments& arguments) {
  std::vector<std::string> read = arguments.images;
  read.insert(read.end(), {arguments.source.path, arguments.source.architecture,
                           arguments.source.tokenizer, arguments.texts_file});
  for (const std::string& file : read) {
    if (std::error_code ignored; std::filesystem::equivalent(out, file, ignored)) {
      throw ConfigError(cat("--out ", arguments.out, ": is ", file,
                            ", which this command reads; name another file"));
    }
  }
}

int embed(const EmbedArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::vector<std::string> texts = all_texts(arguments);
  if (texts.empty() && arguments.images.empty()) {
    throw ConfigError("embed: give --images, --texts or --texts-file");
  }
  const std::filesystem::path out = output_file("--out", arguments.out);
  require_not_read(out, arguments);
  const LoadedModel loaded = load_any(arguments, globals, log);
  // Pictures are rotated on request, and whenever the run's own pictures were.
  const bool exif_rotate = arguments.exif_rotate || loaded.session.config.data.exif_rotate;
  const std::vector<NamedTensor> rows =
      embed_rows(loaded.session, loaded.model, {arguments.images, texts, exif_rotate}, log);
  write_safetensors(out, rows);
  for (const NamedTensor& row : rows) std::cout << row.name << ": " << row.tensor.sizes() << '\n';
  return 0;
}

}  // namespace

CommandAction add_embed_command(CLI::App& command) {
  auto arguments = std::make_shared<EmbedArguments>();
  add_weights_arguments(command, arguments->source, "WEIGHTS",
                        "Weights folder or file, run folder or checkpoint");
  command.add_option("--checkpoint", arguments->checkpoint, "For a run: latest, best or a step");
  add_run_overrides(command, arguments->overrides);
  path_option(command.add_option("--images", arguments->images, "Image files"));
  command.add_flag("--exif-rotate", arguments->exif_rotate,
                   "Rotate images by their EXIF orientation; always on for a run with "
                   "data.exif_rotate");
  command.add_option("--texts", arguments->texts, "Texts");
  path_option(
      command.add_option("--texts-file", arguments->texts_file, "File with one text per line"));
  path_option(
      command.add_option("--out", arguments->out,
                         "safetensors file to write: `image`, `text` [N, E] fp32, L2-normalized"))
      ->required();
  command.footer(
      "Example:\n  saferclip embed safe-clip --images a.jpg b.png --texts \"a dog\" --out "
      "rows.safetensors");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return embed(*arguments, globals, log);
  };
}

}  // namespace saferclip
