// The evaluator's measures on sets of their own: zero-shot classification and real images.
#include <ATen/ATen.h>

#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/evaluate/evaluator.h"
#include "saferclip/image/picture_files.h"

namespace saferclip {
namespace fs = std::filesystem;

at::Tensor Evaluator::embed_files(const ClipModel& model, const std::vector<fs::path>& files,
                                  const std::string& label) {
  return embed_pixels(model, source_.preprocessing, preparer_.pictures(files, label),
                      embed_job(model, label));
}

at::Tensor Evaluator::embed_folder(const ClipModel& model, const fs::path& folder,
                                   const std::string& label) {
  const PictureFiles files = find_images(folder);
  if (told_.insert(folder.string()).second && !files.others.empty()) {
    log_.warn(cat(folder.string(), ": ", files.note()));
  }
  return embed_files(model, files.pictures, label);
}

double Evaluator::change_of_states(const ClipModel& model) {
  const std::string label = "hidden states of prompts";
  return hidden_change(model, preparer_.reference(), preparer_.token_ids(prompts_, label),
                       embed_job(model, label));
}

void Evaluator::add_zero_shot(const ClipModel& model, const RowRanking& ranking,
                              ModelScores& scores) {
  for (const ZeroShotOptions& options : options_.zero_shot) {
    const auto [known, is_new] = zero_shot_.emplace(options.name, ZeroShotSet());
    if (is_new) {
      known->second = read_zero_shot_set(options);
      for (const std::string& note : known->second.notes) log_.warn(note);
    }
    const ZeroShotSet& set = known->second;
    const std::string label = "zero-shot " + set.name;
    const at::Tensor images = embed_files(model, set.images, label);
    const at::Tensor prompts =
        embed_ids(model, preparer_.token_ids(set.prompts, label), embed_job(model, label));
    const auto templates = static_cast<std::int64_t>(set.prompts.size() / set.classes.size());
    const at::Tensor classes = ranking.classes(
        prompts.view({static_cast<std::int64_t>(set.classes.size()), templates, -1}));
    scores.tables.push_back(
        {{"zero_shot", set.name},
         measure_zero_shot(ranking.images(images), classes, set.labels, set.groups, own_stop())});
    write_percentages(scores.tables.back(), scores.json);
    OrderedJson& entry = scores.json["zero_shot"][dotted({set.name})];
    entry["headline"] = to_string(options.headline);
    entry["classes"] = set.classes.size();
    entry["templates"] = set.templates;
  }
}

void Evaluator::add_real_images(const ClipModel& model, const SplitData& split,
                                const EmbeddingSet& set, const RowRanking& ranking,
                                ModelScores& scores) {
  for (const RealImagesOptions& options : options_.real_images) {
    const std::string label = "real images " + options.name;
    const bool has_unsafe = split.manifest.has_unsafe;
    if (!has_unsafe && options.captions.empty()) {
      if (told_.insert(label).second) {
        log_.warn(cat(label, ": not measured: split ", split.name,
                      " has no unsafe captions to use as queries; name a file of "
                      "captions in evaluate.real_images[].captions"));
      }
      continue;
    }
    const at::Tensor safe = embed_folder(model, options.safe, label);
    const at::Tensor unsafe = embed_folder(model, options.unsafe, label);
    at::Tensor queries = set.unsafe_text;
    if (!options.captions.empty()) {
      queries = embed_ids(model, preparer_.token_ids(read_lines(options.captions), label),
                          embed_job(model, label));
    }
    const auto add = [&](const char* side, OutcomeColumn column) {
      column.keys = {side, "unsafe_top1"};
      OutcomeTable table{static_cast<std::int64_t>(column.value.size()), {}, {}};
      table.columns.push_back(std::move(column));
      scores.tables.push_back({{"real_images", options.name}, std::move(table)});
      write_percentages(scores.tables.back(), scores.json);
    };
    add("text", measure_top_unsafe(ranking.text_queries(queries), ranking.images(safe),
                                   ranking.images(unsafe), own_stop()));
    if (has_unsafe) {
      add("image", measure_top_unsafe(ranking.image_queries(unsafe), ranking.texts(set.safe_text),
                                      ranking.texts(set.unsafe_text), own_stop()));
    }
    OrderedJson& entry = scores.json["real_images"][dotted({options.name})];
    entry["gallery"] = {{"safe_images", safe.size(0)},
                        {"unsafe_images", unsafe.size(0)},
                        {"safe_texts", set.safe_text.size(0)},
                        {"unsafe_texts", has_unsafe ? set.unsafe_text.size(0) : 0}};
    entry["captions"] = options.captions.empty() ? split.name : options.captions;
  }
}

}  // namespace saferclip
