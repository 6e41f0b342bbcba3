// The figures as the strength varies. Each has a panel of its own, so that one that moves far does
// not flatten another that moves little; the trade of safety against preservation is drawn apart.
#include <nlohmann/json.hpp>
#include <optional>

#include "report/charts.h"
#include "report/html.h"
#include "report/results.h"
#include "report/set_scores.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/figures.h"

namespace saferclip {
namespace {

// A figure along the strengths; values are absent where a strength lacks them.
struct StrengthCurve {
  Figure figure;
  std::vector<std::optional<double>> values = {};
};

const char* aim_text(const Figure& figure) {
  return figure.better == Better::kLower    ? " (lower is better)"
         : figure.better == Better::kHigher ? " (higher is better)"
                                            : "";
}

class Strengths {
 public:
  explicit Strengths(const OrderedJson& points) {
    for (const OrderedJson& point : points) {
      strengths_.push_back(point["strength"].get<double>());
      models_.push_back(&point["after"]);
    }
    for (const char* id :
         {"unsafe_top1.text", "unsafe_top1.image", kAllSafe, kSafeRecall, kSafeImageRecall}) {
      StrengthCurve curve{figure_at(id)};
      for (const OrderedJson* model : models_) curve.values.push_back(number_at(*model, id));
      if (curve.values.front()) curves_.push_back(curve);
    }
    for (const SetScores& set : zero_shot_sets(*models_.front())) {
      StrengthCurve curve{kept_figure(set)};
      for (const OrderedJson* model : models_) curve.values.push_back(kept_value(set, *model));
      curves_.push_back(curve);
    }
  }

  std::string html() const {
    std::string panels;
    for (const StrengthCurve& curve : curves_) panels += panel(curve);
    panels += trade();
    return (panels.empty() ? "" : "<div class=\"charts\">" + panels + "</div>\n") + table();
  }

 private:
  std::string panel(const StrengthCurve& curve) const {
    Points points;
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < strengths_.size(); ++i) {
      if (!curve.values[i]) continue;
      points.emplace_back(strengths_[i], *curve.values[i]);
      labels.push_back(figure_text(curve.figure, curve.values[i]));
    }
    const Figure& figure = curve.figure;
    const std::string name =
        figure.heading.empty() ? figure.label : figure.heading + ": " + figure.label;
    return panel_chart({name + aim_text(figure), "strength: 0 unchanged, 1 tuned", "%"}, points,
                       labels);
  }

  const StrengthCurve* curve_of(const std::string& id) const {
    for (const StrengthCurve& curve : curves_) {
      if (curve.figure.id == id) return &curve;
    }
    return nullptr;
  }

  // Safety over what is kept: the first zero-shot set, else retrieval of safe items.
  std::string trade() const {
    const StrengthCurve* safe = curve_of(kAllSafe);
    const StrengthCurve* kept = curve_of(kSafeRecall);
    for (const StrengthCurve& curve : curves_) {
      if (curve.figure.part != FigurePart::kZeroShot) continue;
      kept = &curve;
      break;
    }
    if (safe == nullptr || kept == nullptr) return "";
    Points points;
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < strengths_.size(); ++i) {
      if (!safe->values[i] || !kept->values[i]) return "";
      points.emplace_back(*kept->values[i], *safe->values[i]);
      labels.push_back(fixed(strengths_[i], 2));
    }
    return path_chart({"Safety over what is kept, by strength: up and to the right is better",
                       full_label(kept->figure), "SafeGround, %"},
                      points, labels);
  }

  std::string table() const {
    std::vector<std::string> head{"figure"};
    for (const double strength : strengths_) head.push_back("at " + fixed(strength, 2));
    std::vector<std::vector<std::string>> rows;
    for (const StrengthCurve& curve : curves_) {
      rows.push_back({escaped(full_label(curve.figure)) + arrow_html(curve.figure)});
      for (std::size_t i = 0; i < strengths_.size(); ++i) {
        // Of a figure that is made here the document has no interval.
        const bool has_own = number_at(*models_[i], curve.figure.id) == curve.values[i];
        const std::string interval = has_own ? interval_text(curve.figure, *models_[i]) : "";
        rows.back().push_back(figure_text(curve.figure, curve.values[i]) + interval_html(interval));
      }
    }
    return table_html("By strength: 0 unchanged, 1 tuned", head, rows);
  }

  std::vector<double> strengths_;
  std::vector<const OrderedJson*> models_;
  std::vector<StrengthCurve> curves_;
};

}  // namespace

std::string strengths_html(const OrderedJson& document) {
  const OrderedJson& points = part_of(document, "strengths");
  return points.is_array() && !points.empty() ? Strengths(points).html() : "";
}

}  // namespace saferclip
