// HySAC's traversal at query time: with b the 95th percentile of the safe radii and c the
// curvature, the boundary is b' = b + tanh((b − 0.8)/c) + 1. A query farther out moves to it in its
// own direction. HySAC's code compares b' with a geodesic distance, but sets a Euclidean length to
// it; `geodesic` uses it as the distance in both places. Nobody knows at query time what is unsafe,
// so safe queries are held to the same boundary.
#include "saferclip/evaluate/row_ranking.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "saferclip/objective/lorentz.h"

namespace saferclip {
namespace {

constexpr double kBoundaryShift = 0.8;

at::Tensor unit_rows(const at::Tensor& x) { return x / x.norm(2, {1}, true).clamp_min(1e-12); }

OrderedJson range_json(const RadiusRange& range) {
  return {{"low_05", range.low_05}, {"mean", range.mean}, {"up_95", range.up_95}, {"n", range.n}};
}

// Calls `act` with the tensor and whether it holds captions, for each that is defined.
template <class Act>
EmbeddingSet with_rows(const EmbeddingSet& set, Act&& act) {
  EmbeddingSet result = set;
  const auto apply = [&](at::Tensor& rows, bool is_text) {
    if (rows.defined()) rows = act(rows, is_text);
  };
  apply(result.safe_text, true);
  apply(result.safe_image, false);
  apply(result.unsafe_text, true);
  apply(result.unsafe_image, false);
  return result;
}

// The unsafe pictures of the rows that have one.
at::Tensor with_pictures(const EmbeddingSet& set) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < set.has_unsafe_image.size(); ++i) {
    if (set.has_unsafe_image[i]) rows.push_back(static_cast<std::int64_t>(i));
  }
  return select_rows(set.unsafe_image, rows);
}

// The two forms of points; see items().
at::Tensor text_form(const at::Tensor& x, const at::Tensor& c) {
  const at::Tensor apex = 1 / c.sqrt();
  return at::cat({x, apex - time_components(x, c), -apex.expand({x.size(0), 1})}, 1).to(at::kFloat);
}
at::Tensor image_form(const at::Tensor& y, const at::Tensor& c) {
  const at::Tensor time = time_components(y, c);
  return at::cat({y, time, time - 1 / c.sqrt()}, 1).to(at::kFloat);
}

}  // namespace

RowRanking::RowRanking(const LorentzScalars& scalars, const EvaluateOptions& options)
    : traversal_(options.traversal), scalars_(scalars) {
  if (!scalars_.is_defined()) return;
  const at::NoGradGuard guard;
  LorentzScalars::for_each(scalars_, [](const char* /*name*/, at::Tensor& value) {
    value = value.detach().to(at::kCPU, at::kDouble);
  });
  c_ = scalars_.curvature.exp();
  is_lorentz_ = options.score.value_or(ScoreKind::kLorentz) == ScoreKind::kLorentz;
}

at::Tensor RowRanking::points(const at::Tensor& rows, const at::Tensor& alpha) const {
  const at::NoGradGuard guard;
  return lift_embeddings(rows, alpha, c_);
}

at::Tensor RowRanking::texts(const at::Tensor& rows) const {
  if (!has_scalars()) return rows;
  return is_lorentz_ ? text_form(points(rows, scalars_.alpha_text), c_) : unit_rows(rows);
}

at::Tensor RowRanking::images(const at::Tensor& rows) const {
  if (!has_scalars()) return rows;
  return is_lorentz_ ? image_form(points(rows, scalars_.alpha_image), c_) : unit_rows(rows);
}

at::Tensor RowRanking::text_queries(const at::Tensor& rows) const {
  if (!moves()) return texts(rows);
  return text_form(moved(points(rows, scalars_.alpha_text), bounds_.value().text), c_);
}

at::Tensor RowRanking::image_queries(const at::Tensor& rows) const {
  if (!moves()) return images(rows);
  return image_form(moved(points(rows, scalars_.alpha_image), bounds_.value().image), c_);
}

EmbeddingSet RowRanking::items(const EmbeddingSet& set) const {
  return with_rows(set, [&](const at::Tensor& rows, bool is_text) {
    return is_text ? texts(rows) : images(rows);
  });
}

EmbeddingSet RowRanking::texts_ask(const EmbeddingSet& set) const {
  return with_rows(set, [&](const at::Tensor& rows, bool is_text) {
    return is_text ? text_queries(rows) : images(rows);
  });
}

EmbeddingSet RowRanking::images_ask(const EmbeddingSet& set) const {
  return with_rows(set, [&](const at::Tensor& rows, bool is_text) {
    return is_text ? texts(rows) : image_queries(rows);
  });
}

at::Tensor RowRanking::classes(const at::Tensor& prompts) const {
  if (is_lorentz_) return texts(prompts.mean(1));
  const at::Tensor rows =
      has_scalars() ? prompts / prompts.norm(2, {2}, true).clamp_min(1e-12) : prompts;
  return unit_rows(rows.mean(1));
}

EmbeddingSet RowRanking::normalized(const EmbeddingSet& set) const {
  if (!has_scalars()) return set;
  return with_rows(set, [](const at::Tensor& rows, bool) { return unit_rows(rows); });
}

RadiusRange RowRanking::range_of(const at::Tensor& rows, const at::Tensor& alpha) const {
  if (rows.size(0) == 0) return {};
  const at::Tensor all = std::get<0>(radii(points(rows, alpha), c_).sort());
  // Linear between the two nearest, as NumPy's quantile.
  const auto quantile = [&](double share) {
    const double place = share * static_cast<double>(all.size(0) - 1);
    const auto below = static_cast<std::int64_t>(std::floor(place));
    const std::int64_t above = std::min(below + 1, all.size(0) - 1);
    const auto low = all[below].item<double>();
    return low + (place - static_cast<double>(below)) * (all[above].item<double>() - low);
  };
  return {quantile(0.05), all.mean().item<double>(), quantile(0.95), all.size(0)};
}

RadiusBounds RowRanking::find_bounds(const std::string& split, const EmbeddingSet& set,
                                     const at::Tensor& pictures) const {
  return {split, range_of(set.safe_text, scalars_.alpha_text),
          range_of(pictures, scalars_.alpha_image)};
}

double RowRanking::boundary(const RadiusRange& safe) const {
  return safe.up_95 + std::tanh((safe.up_95 - kBoundaryShift) / c_.item<double>()) + 1;
}

at::Tensor RowRanking::moved(const at::Tensor& x, const RadiusRange& safe) const {
  const double limit = boundary(safe), root = std::sqrt(c_.item<double>());
  const double length = traversal_ == Traversal::kGeodesic ? std::sinh(root * limit) / root : limit;
  return at::where(radii(x, c_).gt(limit).unsqueeze(1), length * unit_rows(x), x);
}

std::int64_t RowRanking::count_beyond(const at::Tensor& rows, const at::Tensor& alpha,
                                      const RadiusRange& safe) const {
  return radii(points(rows, alpha), c_).gt(boundary(safe)).sum().item<std::int64_t>();
}

OrderedJson RowRanking::traversal_json(const EmbeddingSet& set) const {
  OrderedJson moved = OrderedJson::object();
  const auto add = [&](const char* name, const at::Tensor& rows, const at::Tensor& alpha,
                       const RadiusRange& safe) {
    if (rows.defined()) moved[name] = count_beyond(rows, alpha, safe);
  };
  const RadiusBounds& bounds = bounds_.value();
  add("safe_text", set.safe_text, scalars_.alpha_text, bounds.text);
  add("safe_image", set.safe_image, scalars_.alpha_image, bounds.image);
  add("unsafe_text", set.unsafe_text, scalars_.alpha_text, bounds.text);
  if (set.unsafe_image.defined()) {
    add("unsafe_image", with_pictures(set), scalars_.alpha_image, bounds.image);
  }
  return {{"mode", to_string(traversal_)},
          {"boundary", {{"text", boundary(bounds.text)}, {"image", boundary(bounds.image)}}},
          {"moved_rows", moved}};
}

OrderedJson RowRanking::json(const EmbeddingSet& set) const {
  if (!has_scalars()) return nullptr;
  OrderedJson json{{"score", to_string(is_lorentz_ ? ScoreKind::kLorentz : ScoreKind::kCosine)},
                   {"curvature", c_.item<double>()}};
  for (const auto& [name, value] : {std::pair("alpha_text", scalars_.alpha_text),
                                    std::pair("alpha_image", scalars_.alpha_image),
                                    std::pair("logit_scale", scalars_.logit_scale)}) {
    json[name] = value.item<double>();
  }
  const auto add = [&](const char* name, const at::Tensor& rows, const at::Tensor& alpha) {
    if (rows.defined() && rows.size(0) > 0) json["radii"][name] = range_json(range_of(rows, alpha));
  };
  add("safe_text", set.safe_text, scalars_.alpha_text);
  add("safe_image", set.safe_image, scalars_.alpha_image);
  add("unsafe_text", set.unsafe_text, scalars_.alpha_text);
  if (set.unsafe_image.defined()) {
    add("unsafe_image", with_pictures(set), scalars_.alpha_image);
  }
  if (bounds_) {
    json["bounds"] = {{"split", bounds_->split},
                      {"text", range_json(bounds_->text)},
                      {"image", range_json(bounds_->image)}};
  }
  if (moves()) json["traversal"] = traversal_json(set);
  return json;
}

}  // namespace saferclip
