// `search`: prints the images of a folder that are nearest to each text, for a run before and after
// side by side, as a table, a contact sheet or a page. Files to write are checked before a model is
// loaded.
#include <filesystem>
#include <iostream>
#include <optional>

#include "cli/commands.h"
#include "cli/look_arguments.h"
#include "cli/signals.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/search_images.h"
#include "saferclip/run/search_pictures.h"

namespace saferclip {
namespace {

struct SearchArguments {
  LookArguments look;
  std::vector<std::string> queries;
  std::int64_t top = 5;
  std::string sheet;
  std::string html;
  std::optional<Blur> blur;
};

// More would be too wide for a sheet, and too large for a page.
constexpr std::int64_t kMostPictured = 40;
constexpr std::size_t kMostQueriesPictured = 100;

void check(const SearchArguments& arguments) {
  for (const std::string& query : arguments.queries) {
    if (trimmed(query).empty()) throw ConfigError("search: a query is empty; expected a text");
  }
  const bool is_pictured = !arguments.sheet.empty() || !arguments.html.empty();
  const bool is_told = arguments.look.json && arguments.blur == Blur::kUnsafe;
  if (arguments.blur && !is_pictured && !is_told) {
    throw ConfigError("--blur: works only with --html or --sheet; --blur unsafe also with --json");
  }
  if (arguments.blur == Blur::kUnsafe && !is_run_path(arguments.look.source.path)) {
    throw ConfigError(
        cat("--blur unsafe: works only with a run, whose captions tell what is unsafe; ",
            arguments.look.source.path, " is not one; expected all or none"));
  }
  if (!is_pictured) return;
  if (arguments.top > kMostPictured || arguments.queries.size() > kMostQueriesPictured) {
    throw ConfigError(cat("--sheet, --html: at most ", kMostPictured, " images for each of ",
                          kMostQueriesPictured, " queries, found --top ", arguments.top, " and ",
                          arguments.queries.size(), " queries; --json has no limit"));
  }
}

// The path to write, or an empty one if the option is not given.
std::filesystem::path checked_output(const std::string& option, const std::string& file) {
  return file.empty() ? std::filesystem::path() : output_file(option, file);
}

// The next search would find a sheet among the images.
void require_outside(const std::filesystem::path& sheet, const SearchArguments& arguments) {
  if (sheet.empty()) return;
  std::error_code error;
  const auto folder = std::filesystem::weakly_canonical(arguments.look.images, error);
  const auto inside = std::filesystem::weakly_canonical(sheet, error).lexically_relative(folder);
  if (error || inside.empty() || *inside.begin() == "..") return;
  throw ConfigError(cat("--sheet ", arguments.sheet, ": is in ", arguments.look.images,
                        ", where the next search would find it; name a place outside"));
}

void write_picture_file(const std::filesystem::path& file, const std::string& bytes,
                        const std::string& given, Logger& log) {
  write_file_atomically(file, bytes);
  log.info("wrote " + given);
}

int search(const SearchArguments& arguments, const GlobalOptions& globals, Logger& log) {
  check(arguments);
  const std::filesystem::path sheet = checked_output("--sheet", arguments.sheet);
  require_outside(sheet, arguments);
  const std::filesystem::path html = checked_output("--html", arguments.html);
  const StopFlag& stop = ask_before_ending(kGrace);
  const Blur blur = arguments.blur.value_or(is_run_path(arguments.look.source.path) ? Blur::kUnsafe
                                                                                    : Blur::kNone);
  LookRequest request = look_request(arguments.look, arguments.queries, globals);
  const bool is_told = arguments.look.json && arguments.blur.has_value();
  request.judges_images = blur == Blur::kUnsafe && (is_told || !sheet.empty() || !html.empty());
  const Look look = look_at(request, log, stop);
  const SearchResults results = search_images(look, arguments.queries, arguments.top);
  for (const auto& [option, file] : {std::pair("--sheet", sheet), std::pair("--html", html)}) {
    if (!file.empty()) require_no_image(option, file, look);
  }
  if (!sheet.empty()) {
    write_picture_file(sheet, encode_png(search_sheet(look, results, blur)), arguments.sheet, log);
  }
  if (!html.empty()) {
    const std::string title = "Search: " + arguments.look.source.path;
    write_picture_file(html, make_search_page(search_page(look, results, title, blur)),
                       arguments.html, log);
  }
  if (arguments.look.json) {
    print_document(search_json(look, results));
    return 0;
  }
  std::cout << search_table(look, results);
  say_after_look(arguments.look, globals, log);
  return 0;
}

}  // namespace

CommandAction add_search_command(CLI::App& command) {
  auto arguments = std::make_shared<SearchArguments>();
  add_look_arguments(command, arguments->look);
  command.add_option("QUERY", arguments->queries, "Texts to search with")->required();
  command.add_option("--top", arguments->top, "Number of images per query")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  path_option(command.add_option("--sheet", arguments->sheet,
                                 "PNG file: the images found, by query and model"));
  path_option(command.add_option("--html", arguments->html,
                                 "HTML file: the same as one page that needs no other file"));
  enum_option(command, "--blur", arguments->blur,
              "Images to blur, on the page until they are clicked: unsafe (those nearest to an "
              "unsafe caption of the run; its default), all, none");
  command.footer(
      "Examples:\n"
      "  saferclip search runs/mine --images photos \"a dog on a beach\" \"a weapon\"\n"
      "  saferclip search clip-vit-l14 --images photos --top 10 --json \"a dog\"\n"
      "  saferclip search runs/mine --images photos --html found.html --blur all \"a weapon\"\n"
      "Embeddings of the images are kept in the cache folder: a second search embeds only what is\n"
      "new. For a run the left half is its base (before), the right half the checkpoint (after).");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return search(*arguments, globals, log);
  };
}

}  // namespace saferclip
