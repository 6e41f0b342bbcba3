// The models of a run are loaded one after the other, so two of them never share the memory. The
// base is known by the hash of its files, which finds the rows that `prepare` has embedded; a
// checkpoint by the hash of its merged tensors.
#include "saferclip/run/look.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/prepare/folder_rows.h"
#include "saferclip/run/embed_rows.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/unsafe_look.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct LookModel {
  std::string name;
  bool is_base = true;
  std::function<ClipModel()> load;
};

class Looking {
 public:
  Looking(const LookRequest& request, Logger& log, const StopFlag& stop)
      : request_(request), log_(log), stop_(stop) {}

  Look look() {
    look_.folder = request_.images;
    const PictureFiles found = find_images(request_.images);
    if (!found.others.empty()) log_.info(cat(request_.images.string(), ": ", found.note()));
    for (const auto& [kind, count] : found.others) look_.other_files += count;
    open();
    const DataOptions& data = session_.config.data;
    look_.exif_rotate = request_.exif_rotate || data.exif_rotate;
    const FolderEmbeddings folder(
        {found.pictures, request_.images.string(),
         request_.cache_dir.empty() ? data.cache_dir : request_.cache_dir, look_.exif_rotate},
        session_.source, session_.device, log_, stop_);
    const at::Tensor usable = usable_images(found.pictures, folder.problems());
    for (const LookModel& model : models_) add_side(model, folder, usable);
    return std::move(look_);
  }

 private:
  void open() {
    const std::string& path = request_.model.weights;
    if (!is_run_path(path)) {
      session_ = open_session(request_.model, request_.compute, log_);
      models_ = {{"model", true, [this] { return load_base(); }}};
      return;
    }
    const RunReference run = resolve_run(path);
    const fs::path checkpoint = choose_checkpoint(run, request_.checkpoint, log_);
    session_ = open_run(run.run_folder, request_.overrides, request_.compute, log_);
    say_if_cosine_is_untrained(session_.config.objective, log_);
    models_ = {{"before", true, [this] { return load_base(); }},
               {"after", false, [this, checkpoint] {
                  return load_tuned(session_, read_trained(session_, checkpoint),
                                    checkpoint.string());
                }}};
  }

  ClipModel load_base() const { return load_clip(session_.source, at::kFloat, session_.device); }

  // Says which images cannot be used; returns the positions of the others, int64 [N].
  at::Tensor usable_images(const std::vector<fs::path>& files,
                           const std::vector<std::string>& problems) {
    std::vector<std::int64_t> usable;
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!problems[i].empty()) {
        lines.push_back(problems[i]);
        continue;
      }
      usable.push_back(static_cast<std::int64_t>(i));
      look_.files.push_back(files[i]);
      look_.names.push_back(files[i].lexically_relative(request_.images).string());
    }
    look_.unusable = static_cast<std::int64_t>(lines.size());
    if (lines.empty()) return at::tensor(usable, at::kLong);
    const std::string message = join_problems(cat(request_.images.string(), ": ", lines.size(),
                                                  " of ", files.size(), " images cannot be used:"),
                                              shortened(lines, 10));
    if (usable.empty()) throw DataError(message);
    log_.warn(message);
    return at::tensor(usable, at::kLong);
  }

  void add_side(const LookModel& loader, const FolderEmbeddings& folder, const at::Tensor& usable) {
    ClipModel model = loader.load();
    LookSide side;
    side.name = loader.name;
    side.scale = std::exp(model.logit_scale.item<double>());
    const std::string label = models_.size() == 1 ? "images" : cat("images, ", loader.name);
    const FolderRows found =
        folder.rows_of({loader.is_base ? session_.source.hash() : model_hash(model),
                        [&]() -> const ClipModel& { return model; }, cat("embedding ", label)});
    side.images = found.rows.index_select(0, usable);
    log_.info(cat(label, ": ", with_commas(found.embedded), " embedded, ",
                  with_commas(usable.size(0) - found.embedded), " from the cache"));
    side.texts = embed_rows(session_, model, {{}, request_.texts}, log_, stop_)[0].tensor;
    if (request_.judges_images && loader.is_base) {
      look_.looks_unsafe =
          looks_unsafe(session_, model, side.images, log_, stop_).value_or(std::vector<bool>());
    }
    look_.sides.push_back(std::move(side));
  }

  const LookRequest& request_;
  Logger& log_;
  const StopFlag& stop_;
  Session session_;
  std::vector<LookModel> models_;
  Look look_;
};

}  // namespace

Look look_at(const LookRequest& request, Logger& log, const StopFlag& stop) {
  return Looking(request, log, stop).look();
}

OrderedJson look_json(const Look& look) {
  return {{"folder", look.folder.string()},
          {"images", look.files.size()},
          {"other_files", look.other_files},
          {"unusable_images", look.unusable}};
}

}  // namespace saferclip
