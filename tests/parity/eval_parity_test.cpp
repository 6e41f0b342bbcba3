// Metrics against a NumPy oracle (scripts/fixtures/eval.py).
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "saferclip/core/files.h"
#include "saferclip/eval/measures.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {
namespace {

TEST(MetricsParity, EqualsNumpy) {
  const std::string folder = std::string(SAFERCLIP_FIXTURES) + "/eval/";
  const auto expected = nlohmann::json::parse(read_file(folder + "expected.json"));
  const SafetensorsFile file = SafetensorsFile::open(folder + "embeddings.safetensors");
  EmbeddingSet set{file.tensor("safe_text"),
                   file.tensor("safe_image"),
                   file.tensor("unsafe_text"),
                   file.tensor("unsafe_image"),
                   {},
                   {},
                   {}};
  for (const int flag : expected["has_image"]) set.has_unsafe_image.push_back(flag != 0);
  for (const int gallery : expected["galleries"]) set.gallery.push_back(std::to_string(gallery));
  const auto outcomes = run_retrieval(set);
  for (const auto& [task, wanted] : expected["retrieval"].items()) {
    const RecallResult recall = recall_of(outcomes.at(task), {1, 5, 10, 100});
    EXPECT_EQ(recall.n, wanted["n"]) << task;
    EXPECT_EQ(recall.ties, wanted["ties"]) << task;
    for (const auto& [k, percent] : recall.recall) {
      EXPECT_NEAR(percent, wanted["recall"][std::to_string(k)].get<double>(), 1e-9)
          << task << " R@" << k;
    }
    if (task.ends_with("union")) {
      EXPECT_NEAR(top_unsafe_percent(outcomes.at(task)), wanted["top_unsafe"].get<double>(), 1e-9);
    }
  }
  const SafeGround ground = measure_safeground(set);
  const auto& g = expected["safeground"];
  for (const auto& [name, value] : std::map<std::string, double>{{"pt_s", ground.pt_s},
                                                                 {"pt_u", ground.pt_u},
                                                                 {"pv_s", ground.pv_s},
                                                                 {"pv_u", ground.pv_u},
                                                                 {"txt", ground.txt},
                                                                 {"img", ground.img},
                                                                 {"ps", ground.ps},
                                                                 {"pu", ground.pu},
                                                                 {"gs", ground.gs}}) {
    EXPECT_NEAR(value, g[name].get<double>(), 1e-9) << name;
  }
}

}  // namespace
}  // namespace saferclip
