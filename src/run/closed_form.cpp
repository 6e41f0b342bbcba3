// The caches keep L2-normalized rows, and a map of the projection acts before that, so the rows are
// embedded once more as they are. A row without an unsafe picture counts for the text tower alone.
#include "run/closed_form.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/closed_form.h"
#include "saferclip/prepare/embedding.h"

namespace saferclip {
namespace {

using ManifestRows = std::vector<std::int64_t>;

// Un-normalized embeddings of the pairs of one tower, [N, E] each.
struct Pairs {
  at::Tensor safe;
  at::Tensor unsafe;
  at::Tensor target;  // of form ridge alone
};

at::Tensor index_of(const ManifestRows& rows) { return at::tensor(rows, at::kLong); }

class Solver {
 public:
  explicit Solver(const ClosedFormParts& parts)
      : parts_(parts), adapter_(parts.session.config.adapter), train_(parts.data.train) {}

  ClosedFormSolution solve() {
    ClosedFormSolution all;
    for (const Towers tower : {Towers::kText, Towers::kVision}) {
      if (adapter_.towers != Towers::kBoth && adapter_.towers != tower) continue;
      const ManifestRows rows = tower == Towers::kText ? train_.good_rows : pictured_rows();
      ClosedFormSolution one = adapter_.form == ClosedForm::kUwm
                                   ? solve_sign_flips(parts_, tower, rows)
                                   : solve_projection(tower, rows);
      std::move(one.tensors.begin(), one.tensors.end(), std::back_inserter(all.tensors));
      say(tower, one.figures);
      all.figures[to_string(tower)] = std::move(one.figures);
    }
    return all;
  }

 private:
  // The rows with an unsafe picture.
  ManifestRows pictured_rows() const {
    ManifestRows rows;
    const at::Tensor& valid = train_.images.valid;
    const auto* flags = valid.const_data_ptr<std::uint8_t>();
    for (const std::int64_t row : train_.good_rows) {
      if (flags[row * valid.size(1) + 1] != 0) rows.push_back(row);
    }
    const auto all = static_cast<std::int64_t>(train_.good_rows.size());
    const auto found = static_cast<std::int64_t>(rows.size());
    if (found == 0) {
      throw DataError(cat("none of the ", with_commas(all),
                          " training rows has an unsafe image, so adapter.form: ", adapter_.form,
                          " has nothing to solve the vision tower on; add unsafe_image to the "
                          "manifest, set data.unsafe_image_template, or set adapter.towers: text"));
    }
    if (found < all) {
      parts_.log.info(cat(with_commas(all - found), " of ", with_commas(all),
                          " rows have no unsafe image: the vision tower is solved on the other ",
                          with_commas(found)));
    }
    return rows;
  }

  void say(Towers tower, const OrderedJson& figures) const {
    std::string text = cat(tower, " tower, ", adapter_.form, ":");
    for (const auto& [name, value] : figures.items()) {
      text +=
          cat(" ", name, " ", value.is_number_float() ? cat(value.get<double>()) : value.dump());
    }
    parts_.log.info(text);
  }

  EmbedJob job(const std::string& label) const {
    EmbedJob job{parts_.log, label};
    job.stop = &parts_.stop;
    job.normalizes = false;
    return job;
  }

  at::Tensor captions(const at::Tensor& ids, const std::string& label) const {
    return embed_ids(parts_.preparer.reference(), ids, job(label));
  }

  // Embeddings [manifest rows, E] of the pictures of `rows`; zero elsewhere.
  at::Tensor pictures(const at::Tensor& pixels, const std::vector<std::int64_t>& picture,
                      const ManifestRows& rows, const std::string& label) const {
    ManifestRows wanted(picture.size(), -1);
    for (const std::int64_t row : rows) {
      wanted[static_cast<std::size_t>(row)] = picture[static_cast<std::size_t>(row)];
    }
    return embed_pictures(parts_.preparer.reference(), parts_.session.source.preprocessing, pixels,
                          wanted, job(label));
  }

  Pairs text_pairs(const ManifestRows& rows) const {
    const at::Tensor index = index_of(rows);
    Pairs pairs;
    pairs.safe = captions(train_.tokens.safe.index_select(0, index), "safe captions as they are");
    pairs.unsafe =
        captions(train_.tokens.unsafe.index_select(0, index), "unsafe captions as they are");
    if (adapter_.form != ClosedForm::kRidge) return pairs;
    const TargetCache& targets = parts_.data.targets;
    const auto manifest_rows = static_cast<std::int64_t>(train_.manifest.rows.size());
    at::Tensor pool = at::zeros({manifest_rows, pairs.safe.size(1)}, pairs.safe.options());
    pool.index_copy_(0, index, pairs.safe);
    if (!targets.extra_captions.empty()) {
      pool = at::cat(
          {pool, captions(parts_.preparer.token_ids(targets.extra_captions, "extra safe captions"),
                          "extra captions as they are")});
    }
    pairs.target = targets_among(pool, targets.index, index);
    return pairs;
  }

  Pairs picture_pairs(const ManifestRows& rows) const {
    const at::Tensor index = index_of(rows);
    const bool is_ridge = adapter_.form == ClosedForm::kRidge;
    // Any good row's safe picture may be a target.
    const at::Tensor safe = pictures(train_.images.safe, train_.images.safe_picture,
                                     is_ridge ? train_.good_rows : rows, "safe images as they are");
    Pairs pairs{safe.index_select(0, index),
                pictures(train_.images.unsafe, train_.images.unsafe_picture, rows,
                         "unsafe images as they are")
                    .index_select(0, index),
                {}};
    if (is_ridge) pairs.target = targets_among(safe, parts_.data.targets.image_index, index);
    return pairs;
  }

  // `found` as in TargetCache: -1 stands for the row itself.
  static at::Tensor targets_among(const at::Tensor& pool, const at::Tensor& found,
                                  const at::Tensor& index) {
    const at::Tensor wanted = found.index_select(0, index);
    return pool.index_select(0, at::where(wanted.lt(0), index, wanted));
  }

  // The LayerNorm before a projection leaves its rows one dimension less than the tower's width.
  std::int64_t constant_directions(Towers tower) const {
    const ClipGeometry& geometry = parts_.session.source.geometry;
    const auto width = (tower == Towers::kText ? geometry.text : geometry.vision).width;
    return std::max<std::int64_t>(0, geometry.embed_dim - (width - 1));
  }

  SolvedMap solve_map(const Pairs& pairs, Towers tower) const {
    const std::string what = tower == Towers::kText ? "text embeddings" : "image embeddings";
    switch (adapter_.form) {
      case ClosedForm::kProject:
        return solve_project(pairs.safe, pairs.unsafe, adapter_.rank, adapter_.strength, what);
      case ClosedForm::kLeace:
        return solve_leace(pairs.safe, pairs.unsafe, constant_directions(tower), what);
      default:
        return solve_ridge(pairs.safe, pairs.unsafe, pairs.target,
                           {adapter_.weight, adapter_.ridge}, what);
    }
  }

  ClosedFormSolution solve_projection(Towers tower, const ManifestRows& rows) const {
    const WeightsSource& source = parts_.session.source;
    const FamilyForm& family = form_of(source.geometry.family);
    const bool is_text = tower == Towers::kText;
    const SolvedMap solved = solve_map(is_text ? text_pairs(rows) : picture_pairs(rows), tower);
    const std::string module = is_text ? family.text_projection : "visual_projection";
    ClosedFormSolution solution;
    solution.figures["pairs"] = rows.size();
    for (const auto& [name, value] : solved.figures) solution.figures[name] = value;
    const auto mapped = [&](const std::string& name) {
      const at::Tensor old = source.tensor(name).to(at::kDouble);
      return NamedTensor{name, at::matmul(solved.map, old).to(at::kFloat)};
    };
    solution.tensors.push_back(mapped(module + ".weight"));
    // A map of W x + b is one of both.
    if (is_text && family.has_text_projection_bias) {
      solution.tensors.push_back(mapped(module + ".bias"));
    }
    return solution;
  }

  const ClosedFormParts& parts_;
  const AdapterOptions& adapter_;
  const SplitData& train_;
};

}  // namespace

ClosedFormSolution solve_closed_form(const ClosedFormParts& parts) {
  const at::NoGradGuard guard;
  return Solver(parts).solve();
}

}  // namespace saferclip
