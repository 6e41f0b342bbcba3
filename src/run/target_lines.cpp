// The target of each unsafe row, for the terminal, CSV and JSON. A target index below the number of
// manifest rows names a row of the training manifest, a larger one an extra caption, and -1 the
// row's own caption. CSV text is always quoted, since captions hold commas and quotes.
#include "saferclip/run/target_lines.h"

#include <ATen/ATen.h>

#include <sstream>

#include "saferclip/core/csv.h"
#include "saferclip/core/text_format.h"
#include "saferclip/run/training_data.h"

namespace saferclip {

std::vector<TargetLine> target_lines(const TrainingData& data) {
  const TargetCache& targets = data.targets;
  const auto* index = targets.index.const_data_ptr<std::int64_t>();
  const auto* cosine = targets.cosine.const_data_ptr<float>();
  const auto* fixed_cosine = targets.fixed_cosine.const_data_ptr<float>();
  const auto& rows = data.train.manifest.rows;
  std::vector<TargetLine> lines;
  for (const std::int64_t i : data.train.good_rows) {
    TargetLine line;
    line.row = &rows[static_cast<std::size_t>(i)];
    // -1 is the row's own caption, which a pool read from a file does not contain.
    const auto target = static_cast<std::size_t>(index[i] < 0 ? i : index[i]);
    if (target >= rows.size()) {
      line.target_id = cat("extra:", target - rows.size() + 1);
      line.target_caption = targets.extra_captions[target - rows.size()];
      line.change = "extra";
    } else {
      line.target_id = rows[target].id;
      line.target_caption = rows[target].safe_caption;
      line.change = target == static_cast<std::size_t>(i) ? "same" : "caption";
    }
    line.fixed_cosine = static_cast<double>(fixed_cosine[i]);
    line.cosine = static_cast<double>(cosine[i]);
    line.stage = data.stages[static_cast<std::size_t>(i)];
    lines.push_back(std::move(line));
  }
  return lines;
}

TargetSummary summarize(const std::vector<TargetLine>& lines) {
  TargetSummary summary;
  for (const TargetLine& line : lines) {
    ++summary.changes[line.change];
    ++summary.stages[line.stage];
    summary.mean_cosine += line.cosine / static_cast<double>(lines.size());
    summary.mean_fixed += line.fixed_cosine / static_cast<double>(lines.size());
  }
  return summary;
}

std::string targets_csv(const std::vector<TargetLine>& lines) {
  std::ostringstream out;
  out << "id,unsafe_caption,own_safe_caption,fixed_cosine,target_id,target_caption,cosine,stage,"
         "change\n";
  for (const TargetLine& line : lines) {
    out << csv_field(line.row->id) << ',' << csv_field(line.row->unsafe_caption) << ','
        << csv_field(line.row->safe_caption) << ',' << line.fixed_cosine << ','
        << csv_field(line.target_id) << ',' << csv_field(line.target_caption) << ',' << line.cosine
        << ',' << line.stage << ',' << line.change << '\n';
  }
  return out.str();
}

OrderedJson targets_json(const std::vector<TargetLine>& lines, const TargetSummary& summary) {
  OrderedJson json{{"rows", lines.size()}, {"change", summary.changes}};
  json["stages"] = OrderedJson::object();
  for (const auto& [stage, count] : summary.stages) json["stages"][std::to_string(stage)] = count;
  json["cosine_mean"] = summary.mean_cosine;
  json["fixed_cosine_mean"] = summary.mean_fixed;
  json["targets"] = OrderedJson::array();
  for (const TargetLine& line : lines) {
    json["targets"].push_back({{"id", line.row->id},
                               {"unsafe_caption", line.row->unsafe_caption},
                               {"own_safe_caption", line.row->safe_caption},
                               {"fixed_cosine", line.fixed_cosine},
                               {"target_id", line.target_id},
                               {"target_caption", line.target_caption},
                               {"cosine", line.cosine},
                               {"stage", line.stage},
                               {"change", line.change}});
  }
  return json;
}

}  // namespace saferclip
