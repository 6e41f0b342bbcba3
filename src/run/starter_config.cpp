// Everything is read and chosen before the first file is written, and the check at the end is that
// of `config check`, so a written configuration either passes or comes with its problems.
#include "saferclip/run/starter_config.h"

#include <algorithm>

#include "run/starter_data.h"
#include "saferclip/config/yaml_text.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/nn/precision.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/templates.h"
#include "saferclip/run/training_fit.h"
#include "saferclip/weights/hub_names.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

ConfigNode scalar(std::string text) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.scalar = std::move(text);
  return node;
}

ConfigNode& child(ConfigNode& map, const std::string& name) {
  map.kind = ConfigNode::Kind::kMap;
  for (auto& [key, value] : map.entries) {
    if (key == name) return value;
  }
  return map.entries.emplace_back(name, ConfigNode{}).second;
}

void erase(ConfigNode& map, const std::string& name) {
  std::erase_if(map.entries, [&](const auto& entry) { return entry.first == name; });
}

WeightsSource look_at_weights(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    throw WeightsError(cat("--weights ", path, ": no such file", hub_help(path, path)));
  }
  ModelOptions options;
  options.weights = options.written_weights = path;
  return open_weights(options, 0);
}

std::string default_name(const std::string& weights) {
  const fs::path path = fs::absolute(weights).lexically_normal();
  const fs::path last = path.has_filename() ? path : path.parent_path();
  return cat("safe-", fs::is_directory(last) ? last.filename().string() : last.stem().string());
}

// One configuration on its way into a file: the tree, and the comment behind each key.
class Starter {
 public:
  explicit Starter(const StarterRequest& request)
      : request_(request), folder_(folder_of(request.out)) {}

  StarterResult write() {
    look();
    compose();
    for (const auto* data : {&train_, &validation_}) {
      if (*data && !(*data)->images.pairs.empty()) {
        const fs::path root =
            image_root_.empty() ? fs::weakly_canonical(fs::absolute(folder_)) : image_root_;
        write_file_atomically((*data)->manifest, manifest_of((*data)->images, root));
        result_.written.push_back((*data)->manifest.string());
      }
    }
    write_file_atomically(request_.out, head_ + text());
    result_.written.push_back(request_.out.string());
    if (result_.open.empty()) result_.findings = check_configuration(request_.out, {});
    return std::move(result_);
  }

 private:
  // Collects the problems of all inputs and throws the first one's type.
  void look() {
    std::vector<std::string> problems;
    int exit_code = 0;
    const auto attempt = [&](const auto& look_at) {
      try {
        look_at();
      } catch (const Error& problem) {
        problems.emplace_back(problem.what());
        if (exit_code == 0) exit_code = problem.exit_code();
      }
    };
    if (!request_.weights.empty()) {
      attempt([&] { source_ = look_at_weights(request_.weights); });
    }
    if (!request_.data.empty()) {
      attempt([&] {
        train_ = look_at_data({"--data", request_.data, request_.unsafe, request_.out, "train",
                               request_.may_overwrite, request_.pair_by});
      });
    }
    if (!request_.validation.empty()) {
      attempt([&] {
        validation_ = look_at_data({"--validation", request_.validation, "", request_.out,
                                    "validation", request_.may_overwrite});
      });
    }
    attempt([&] {
      image_root_ = shared_image_root(train_ ? &*train_ : nullptr,
                                      validation_ ? &*validation_ : nullptr, request_.out);
    });
    if (problems.size() == 1) throw Error(problems.front(), exit_code);
    if (!problems.empty()) throw Error(join_problems("init:", problems), exit_code);
    if (source_) {
      result_.seen.push_back(cat(request_.weights, ": ", form_of(source_->geometry.family).label,
                                 ", ", to_string(source_->layout), ", ",
                                 with_commas(parameter_count(source_->geometry)), " parameters"));
    }
    for (const auto* data : {&train_, &validation_}) {
      if (!*data) continue;
      result_.seen.insert(result_.seen.end(), (*data)->seen.begin(), (*data)->seen.end());
      result_.warnings.insert(result_.warnings.end(), (*data)->warnings.begin(),
                              (*data)->warnings.end());
    }
  }

  StarterFacts facts() const {
    StarterFacts facts;
    const at::Device device = parse_device(request_.compute.device);
    facts.precision = has_fast_bf16(device) ? Precision::kBf16
                      : device.is_cuda()    ? Precision::kFp16
                                            : Precision::kFp32;
    if (train_) {
      facts.rows = train_->rows;
      facts.bad_rows = train_->bad_rows;
      facts.rows_read = train_->rows_read;
      facts.has_unsafe = train_->has_unsafe;
    }
    if (source_) {
      facts.family = source_->geometry.family;
      facts.available_bytes = available_bytes(device);
      FitRequest fit{source_->geometry, {}, 0, facts.has_unsafe, facts.precision};
      facts.needed_bytes = [fit, device](std::int64_t rows) mutable {
        fit.rows = rows;
        return usual_bytes(fit, device);
      };
    }
    return facts;
  }

  void compose() {
    std::optional<StarterValues> values;
    if (request_.from.empty()) {
      values = choose_values(facts(), request_.objective);
      head_ = "# Written by `saferclip init`. Every other key: `saferclip config keys`.\n";
    } else {
      use_template();
    }
    set_model();
    set_data();
    if (values) set_values(*values);
    ConfigNode& run = child(tree_, "run");
    const bool keeps_name = request_.name.empty() && !request_.from.empty();
    const std::string name = !request_.name.empty() ? request_.name
                             : keeps_name           ? child(run, "name").scalar
                                                    : default_name(request_.weights);
    set(run, "run", "name", yaml_text(name), cat("results go to runs/", name));
    result_.run = cat("runs/", name);
    result_.has_validation = child(tree_, "data").find("validation") != nullptr;
  }

  void use_template() {
    StandaloneTemplate base = standalone(find_template(request_.from).file);
    tree_ = std::move(base.tree);
    comments_ = std::move(base.comments);
    head_ = cat("# Written by `saferclip init --from ", request_.from, "`.\n", base.head);
    for (const auto& [key, given] :
         {std::pair("model.weights", &request_.weights), std::pair("data.train", &request_.data)}) {
      if (given->empty()) result_.open.emplace_back(key);
    }
    if (request_.objective) {
      throw ConfigError("--objective: the configuration of --from has its own; leave one out");
    }
    if (!train_) return;
    const StarterFacts found = facts();
    choose_values(found, read_objective());
    ConfigNode& train = child(tree_, "train");
    for (const char* key : {"batch_size", "micro_batch_size"}) {
      const ConfigNode* rows = train.find(key);
      if (rows == nullptr || rows->kind != ConfigNode::Kind::kScalar) continue;
      const std::int64_t most = std::max<std::int64_t>(1, found.rows);
      if (std::stoll(rows->scalar) <= most) continue;
      set(train, "train", key, std::to_string(most), cat(rows->scalar, " in the template"));
    }
  }

  ObjectiveName read_objective() {
    const ConfigNode* name = child(tree_, "objective").find("name");
    return enum_from<ObjectiveName>(name == nullptr ? "" : name->scalar)
        .value_or(ObjectiveName::kSaferClip);
  }

  void set_model() {
    if (!source_) return;
    const std::string label = cat(form_of(source_->geometry.family).label, " with ",
                                  source_->geometry.image_size, " px images");
    set(child(tree_, "model"), "model", "weights", yaml_input_path(request_.weights, folder_),
        label);
  }

  void set_data() {
    if (!train_) return;
    ConfigNode& data = child(tree_, "data");
    for (const char* key : {"validation", "evaluation", "image_root", "unsafe_image_template",
                            "missing_unsafe_image"}) {
      erase(data, key);
    }
    set(data, "data", "train", yaml_input_path(train_->manifest, folder_), train_->comment);
    if (validation_) {
      set(data, "data", "validation", yaml_input_path(validation_->manifest, folder_),
          validation_->comment);
    }
    if (!image_root_.empty()) {
      set(data, "data", "image_root", yaml_input_path(image_root_, folder_),
          "image paths of the manifests start here");
    }
    if (train_->bad_rows > 0 && choose_values(facts(), {}).skips_bad_rows) {
      set(data, "data", "bad_rows", "skip",
          cat(with_commas(train_->bad_rows), " of ", with_commas(train_->rows_read),
              " rows are bad; error: stop at them"));
    }
  }

  void set_values(const StarterValues& values) {
    const bool has_siglip = source_ && source_->geometry.family == Family::kSiglip;
    ConfigNode& objective = child(tree_, "objective");
    const bool redirects = loss_needs(ObjectiveOptions::preset(values.objective)).unsafe;
    set(objective, "objective", "name", to_string(values.objective),
        values.objective == ObjectiveName::kHysac ? "unsafe rows move away from the origin"
        : redirects                               ? "unsafe rows move to safe ones"
                                                  : "safe pairs alone: makes no model safe");
    if (has_siglip && values.objective == ObjectiveName::kSaferClip) {
      set(child(objective, "pres_cross"), "objective.pres_cross", "form", "sigmoid",
          "SigLIP's own contrast");
    }
    set(child(tree_, "adapter"), "adapter", "method", "lora",
        "full trains all weights: more memory");
    ConfigNode& train = child(tree_, "train");
    set(train, "train", "epochs", std::to_string(TrainOptions().epochs), "passes over the rows");
    set(train, "train", "batch_size", std::to_string(values.batch_size), "rows per step");
    if (values.micro_batch_size) {
      set(train, "train", "micro_batch_size", std::to_string(*values.micro_batch_size),
          values.fits ? "rows at a time, for this machine's memory"
                      : "this machine's memory may not be enough");
      set(train, "train", "gradient_cache", "true", "losses over the whole batch all the same");
    }
    set(train, "train", "precision", to_string(values.precision),
        "fastest on the machine that wrote this");
  }

  void set(ConfigNode& map, const std::string& path, const std::string& name, std::string value,
           const std::string& comment) {
    child(map, name) = scalar(std::move(value));
    const std::string key = cat(path, ".", name);
    std::erase_if(comments_, [&](const auto& known) { return known.first == key; });
    comments_.emplace_back(key, comment);
  }

  std::string text() const {
    return yaml_of_tree(tree_, [&](const std::string& key) -> std::string {
      for (const auto& [known, comment] : comments_) {
        if (known == key) return comment;
      }
      return "";
    });
  }

  const StarterRequest& request_;
  fs::path folder_;
  std::optional<WeightsSource> source_;
  std::optional<StarterData> train_;
  std::optional<StarterData> validation_;
  fs::path image_root_;  // empty: each manifest's own folder
  ConfigNode tree_;
  std::vector<std::pair<std::string, std::string>> comments_;
  std::string head_;
  StarterResult result_;
};

}  // namespace

StarterResult write_starter_config(const StarterRequest& request) {
  return Starter(request).write();
}

}  // namespace saferclip
