// `report`: writes the HTML page of a run, by default report.html in its folder. The output path is
// checked before the splits are evaluated, which can take long, and the file is replaced
// atomically, so an interrupted report leaves the old page.
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/report_run.h"
#include "saferclip/run/run_reference.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct ReportArguments {
  std::string run;
  ReportRequest request;
  std::string out;
  bool json = false;
};

int report(ReportArguments arguments, const GlobalOptions& globals, Logger& log) {
  const StopFlag& stop = ask_before_ending(kGrace);
  ReportRequest& request = arguments.request;
  request.run = resolve_run(arguments.run);
  request.compute = globals;
  const fs::path out =
      output_file("--out", arguments.out.empty() ? request.run.run_folder / "report.html"
                                                 : fs::path(arguments.out));
  write_file_atomically(out, make_report(report_content(request, log, stop)));
  if (arguments.json) {
    print_json({{"path", out.string()}, {"bytes", fs::file_size(out)}});
    return 0;
  }
  std::cout << "report: " << out.string() << " (" << human_bytes(fs::file_size(out)) << ")\n"
            << std::flush;
  say_next(log, cat("open ", out.string(), " in a browser"));
  return 0;
}

}  // namespace

CommandAction add_report_command(CLI::App& command) {
  auto arguments = std::make_shared<ReportArguments>();
  path_option(command.add_option("RUN", arguments->run, "Run folder, or one of its checkpoints"))
      ->required();
  path_option(command.add_option("--out", arguments->out,
                                 "HTML file; default: report.html in the run folder"));
  command.add_option("--checkpoint", arguments->request.checkpoint, "latest, best or a step");
  add_run_overrides(command, arguments->request.overrides);
  command
      .add_option("--split", arguments->request.splits,
                  "Split to show; repeatable; default: those evaluated at this step")
      ->allow_extra_args(false);
  command
      .add_option("--queries", arguments->request.queries,
                  "Number of unsafe texts, and of unsafe images, that the galleries show per split")
      ->check(CLI::Range(0, 40));
  command.add_flag("--json", arguments->json, "Print one JSON document: path, bytes");
  command.footer(
      "Examples:\n"
      "  saferclip evaluate runs/mine --split test --strengths 0,0.25,0.5,0.75,1\n"
      "  saferclip report runs/mine --out mine.html\n"
      "One page that works offline: what was done, losses, curriculum, before and after with\n"
      "intervals, the strength curve, tags, images found before and after, worst cases, drift.\n"
      "It contains thumbnails of your images; unsafe ones are blurred until clicked.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return report(*arguments, globals, log);
  };
}

}  // namespace saferclip
