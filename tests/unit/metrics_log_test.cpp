// metrics.jsonl, cut back when a run goes on.
#include "saferclip/train/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;

TEST(MetricsLog, ResumeCutsBackToItsStep) {
  const TemporaryFolder folder;
  const auto file = folder / "metrics.jsonl";
  {
    MetricsLog log(file, 0);
    for (std::int64_t step = 1; step <= 5; ++step)
      log.write({step, 0, 0.1, 1.0, 2.0, 3.0, {{"a", 0.5}}, 0, {}, false, 0, false, {}, {}});
    log.write_evaluation(5, 0, R"({"after": {}})");
  }
  std::ofstream(file, std::ios::app) << "{\"kind\":\"train\",\"st";  // cut by a crash
  MetricsLog(file, 3).write({4, 0, 0.1, 9.0, 2.0, 3.0, {}, 0, {}, false, 0, false, {}, {}});
  std::ifstream in(file);
  std::vector<std::int64_t> steps;
  for (std::string line; std::getline(in, line);)
    steps.push_back(nlohmann::json::parse(line)["step"]);
  EXPECT_THAT(steps, ElementsAre(1, 2, 3, 4));
}

}  // namespace
}  // namespace saferclip
