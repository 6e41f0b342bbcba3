#include <algorithm>
#include <nlohmann/json.hpp>

#include "run/table_cells.h"
#include "saferclip/core/durations.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/recommend.h"

namespace saferclip {
namespace {

constexpr std::size_t kMethodWidth = 20;
constexpr std::size_t kScoreWidth = 8;
constexpr std::size_t kTimeWidth = 10;

std::string score_cells(const MethodScores& scores) {
  std::string line;
  for (const double value :
       {scores.unsafe_text, scores.unsafe_image, scores.text_recall, scores.image_recall}) {
    line += number_cell(value, 1, kScoreWidth);
  }
  return line +
         (scores.names ? number_cell(*scores.names, 1, kScoreWidth) : right_cell("–", kScoreWidth));
}

const char* state_word(const TriedMethod& tried) {
  return tried.state == MethodState::kFailed ? "failed" : "not tried: no time";
}

OrderedJson scores_json(const MethodScores& scores) {
  OrderedJson json{{"unsafe_top1.text", scores.unsafe_text},
                   {"unsafe_top1.image", scores.unsafe_image},
                   {"retrieval.text_to_image.r@1", scores.text_recall},
                   {"retrieval.image_to_text.r@1", scores.image_recall}};
  json["names"] = scores.names ? OrderedJson(*scores.names) : OrderedJson(nullptr);
  return json;
}

}  // namespace

std::string recommendation_table(const Recommendation& r) {
  std::string text = cat("split ", r.split, ", ", with_commas(r.rows), " rows; in percent\n",
                         text_cell("", kMethodWidth), "    unsafe first      safe R@1\n",
                         text_cell("", kMethodWidth), right_cell("text", kScoreWidth),
                         right_cell("image", kScoreWidth), right_cell("text", kScoreWidth),
                         right_cell("image", kScoreWidth), right_cell("names", kScoreWidth),
                         right_cell("time", kTimeWidth), "\n");
  if (r.rows > 0) text += text_cell("  before", kMethodWidth) + score_cells(r.before) + "\n";
  for (const TriedMethod& tried : r.tried) {
    const bool is_measured = tried.state == MethodState::kMeasured;
    text += text_cell(cat(is_measured && !tried.is_dominated ? "* " : "  ", tried.method.name),
                      kMethodWidth);
    if (is_measured) {
      text += score_cells(tried.scores);
      if (tried.seconds > 0) text += right_cell(human_duration(tried.seconds), kTimeWidth);
    } else {
      text += cat("   ", state_word(tried));
    }
    text += "\n";
  }
  return cat(text,
             "*: neither another method nor the model before is at least as good in safety,\n"
             "   safe R@1 (means of both directions) and names. Trained methods took ",
             with_commas(r.steps), " steps.\n");
}

OrderedJson recommendation_json(const Recommendation& r) {
  OrderedJson json{{"folder", r.folder.string()},
                   {"split", r.split},
                   {"n", r.rows},
                   {"steps", r.steps},
                   {"before", scores_json(r.before)}};
  json["methods"] = OrderedJson::array();
  for (const TriedMethod& tried : r.tried) {
    const bool is_measured = tried.state == MethodState::kMeasured;
    json["methods"].push_back({{"name", tried.method.name},
                               {"meaning", tried.method.meaning},
                               {"config", (r.folder / (tried.method.name + ".yaml")).string()},
                               {"run", (r.folder / tried.method.name).string()},
                               {"state", is_measured ? "measured" : state_word(tried)},
                               {"exit_code", tried.exit_code},
                               {"seconds", tried.seconds}});
    OrderedJson& entry = json["methods"].back();
    entry["after"] = is_measured ? scores_json(tried.scores) : OrderedJson(nullptr);
    entry["is_dominated"] = is_measured ? OrderedJson(tried.is_dominated) : OrderedJson(nullptr);
  }
  return json;
}

}  // namespace saferclip
