// `embed`: writes embeddings of pictures and texts to one file, whose ending chooses the form, from
// plain weights or from a run's checkpoint. Options that describe plain weights are refused for a
// run, whose configuration decides them. The output path is checked before a model is loaded, and
// never overwrites a file that the command reads.
#include <ATen/ATen.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/signals.h"
#include "cli/weights_arguments.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/run/embed_rows.h"
#include "saferclip/run/embedding_files.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_processes.h"
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
  bool json = false;
};

struct LoadedModel {
  Session session;
  ClipModel model;
};

LoadedModel load_any(const EmbedArguments& arguments, const ComputeOptions& compute, Logger& log) {
  LoadedModel loaded;
  if (is_run_path(arguments.source.path)) {
    require_no_options(arguments.source);
    const RunReference run = resolve_run(arguments.source.path);
    const auto checkpoint = choose_checkpoint(run, arguments.checkpoint, log);
    loaded.session = open_run(run.run_folder, arguments.overrides, compute, log);
    say_if_cosine_is_untrained(loaded.session.config.objective, log);
    loaded.model =
        load_tuned(loaded.session, read_trained(loaded.session, checkpoint), checkpoint.string());
    return loaded;
  }
  if (!arguments.overrides.empty()) {
    throw ConfigError(cat("--set: works only with a run; ", arguments.source.path, " is not one"));
  }
  loaded.session = open_plain_weights(arguments.source, compute, log);
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

// Pictures are rotated on request, and whenever the run's own pictures were.
bool rotates(const EmbedArguments& arguments, const Session& session) {
  return arguments.exif_rotate || session.config.data.exif_rotate;
}

// What several processes must agree on, besides the session.
Facts facts_of(const EmbedRequest& request) {
  return {{"content of --images", sha256_hex(join(request.images, "\n"))},
          {"content of --texts", sha256_hex(join(request.texts, "\n"))},
          {"--exif-rotate", request.exif_rotate ? "true" : "false"}};
}

// Embeds and writes; returns the rows of the first process, nothing in the others.
std::vector<NamedTensor> embed_to_file(const EmbedArguments& arguments,
                                       const GlobalOptions& globals, Logger& log) {
  EmbedRequest request{arguments.images, all_texts(arguments), arguments.exif_rotate};
  if (request.texts.empty() && request.images.empty()) {
    throw ConfigError("embed: give --images, --texts or --texts-file");
  }
  const std::filesystem::path out = output_file("--out", arguments.out);
  require_not_read(out, arguments);
  const EmbeddingForm form = embedding_form(arguments.out, request);
  const StopFlag& stop = ask_before_ending(kGrace);
  const ComputeOptions compute = join_processes(globals, log, stop);
  std::vector<NamedTensor> rows;
  end_together(compute.processes, log, {}, [&] {
    const LoadedModel loaded = load_any(arguments, compute, log);
    request.exif_rotate = rotates(arguments, loaded.session);
    require_equal_processes(loaded.session, log, facts_of(request));
    rows = embed_rows(loaded.session, loaded.model, request, log, stop);
    if (compute.processes.is_first()) write_embeddings(out, form, request, rows);
  });
  if (!compute.processes.is_first()) rows.clear();
  return rows;
}

void fill_embed_document(const EmbedArguments& arguments, const std::vector<NamedTensor>& rows,
                         nlohmann::ordered_json& document) {
  auto arrays = nlohmann::ordered_json::object();
  for (const NamedTensor& row : rows) arrays[row.name] = row.tensor.sizes().vec();
  document = {{"source", arguments.source.path},
              {"path", arguments.out},
              {"bytes", std::filesystem::file_size(arguments.out)},
              {"sha256", sha256_file(arguments.out)},
              {"arrays", std::move(arrays)}};
}

int embed(const EmbedArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const auto launch = launch_from_environment();
  const bool is_first = !launch || launch->rank == 0;
  if (arguments.json && is_first) {
    print_document_of([&](nlohmann::ordered_json& document) {
      fill_embed_document(arguments, embed_to_file(arguments, globals, log), document);
    });
    return 0;
  }
  for (const NamedTensor& row : embed_to_file(arguments, globals, log))
    std::cout << row.name << ": " << row.tensor.sizes() << '\n';
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
                         "File to write: .safetensors (`image`, `text`), .npy (one array) or .csv; "
                         "rows [N, E] fp32, L2-normalized"))
      ->required();
  command.add_flag("--json", arguments->json,
                   "Print one JSON document, also on failure: path, bytes, sha256, arrays");
  command.footer(
      "Examples:\n"
      "  saferclip embed safe-clip --images a.jpg b.png --texts \"a dog\" --out rows.safetensors\n"
      "  saferclip embed runs/mine --images a.jpg b.png --out images.npy\n"
      "The columns of .csv: kind (image, text), item (path or text), d0, d1, and so on.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return embed(*arguments, globals, log);
  };
}

}  // namespace saferclip
