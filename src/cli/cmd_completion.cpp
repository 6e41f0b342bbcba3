// `completion`: prints a script for a shell, or writes the man pages.
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/shell_texts.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"

namespace saferclip {
namespace {

struct CompletionArguments {
  Shell shell = Shell::kBash;
  CLI::Option* shell_option = nullptr;
  std::string man;
};

int complete(const CLI::App& app, const CompletionArguments& arguments) {
  if (arguments.shell_option->count() == 0 && arguments.man.empty()) {
    throw ConfigError("completion: name a shell (bash, zsh, fish), or a folder with --man");
  }
  if (arguments.shell_option->count() > 0) {
    std::cout << completion_script(app, arguments.shell);
  }
  if (arguments.man.empty()) return 0;
  make_folders(arguments.man);
  for (const ManPage& page : man_pages(app)) {
    write_file_atomically(std::filesystem::path(arguments.man) / page.file, page.text);
  }
  return 0;
}

}  // namespace

CommandAction add_completion_command(CLI::App& command) {
  auto arguments = std::make_shared<CompletionArguments>();
  arguments->shell_option = enum_option(command, "SHELL", arguments->shell, "bash, zsh or fish");
  path_option(command.add_option("--man", arguments->man, "Write the man pages into this folder"));
  command.footer(
      "Examples:\n"
      "  saferclip completion bash > ~/.local/share/bash-completion/completions/saferclip\n"
      "  saferclip completion zsh > ~/.zfunc/_saferclip        with fpath+=~/.zfunc before "
      "compinit\n"
      "  saferclip completion fish > ~/.config/fish/completions/saferclip.fish\n"
      "  saferclip completion --man ~/.local/share/man/man1");
  const CLI::App* app = command.get_parent();
  return [app, arguments](const GlobalOptions&, Logger&) { return complete(*app, *arguments); };
}

}  // namespace saferclip
