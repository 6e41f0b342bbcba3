// `search`: prints the images of a folder that are nearest to each text, for a run before and after
// side by side.
#include <iostream>

#include "cli/commands.h"
#include "cli/look_arguments.h"
#include "cli/signals.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/search_images.h"

namespace saferclip {
namespace {

struct SearchArguments {
  LookArguments look;
  std::vector<std::string> queries;
  std::int64_t top = 5;
};

int search(const SearchArguments& arguments, const GlobalOptions& globals, Logger& log) {
  for (const std::string& query : arguments.queries) {
    if (trimmed(query).empty()) throw ConfigError("search: a query is empty; expected a text");
  }
  const StopFlag& stop = ask_before_ending(kGrace);
  const Look look = look_at(look_request(arguments.look, arguments.queries, globals), log, stop);
  const SearchResults results = search_images(look, arguments.queries, arguments.top);
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
      ->check(CLI::PositiveNumber);
  command.footer(
      "Examples:\n"
      "  saferclip search runs/mine --images photos \"a dog on a beach\" \"a weapon\"\n"
      "  saferclip search clip-vit-l14 --images photos --top 10 --json \"a dog\"\n"
      "Embeddings of the images are kept in the cache folder: a second search embeds only what is\n"
      "new. For a run the left half is its base (before), the right half the checkpoint (after).");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return search(*arguments, globals, log);
  };
}

}  // namespace saferclip
