// Charts as SVG text, drawn without a library: axes with round steps, lines and bars. Colors come
// from the style sheet through classes, so one drawing serves light and dark. Coordinates of points
// are rounded to a tenth of a unit, which keeps the page small.
#include "report/charts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <sstream>

#include "report/html.h"
#include "report/label_places.h"
#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kMaxPoints = 300;
constexpr double kLeft = 60, kRight = 16, kTop = 24, kBottom = 40;
// Drawn at this width, text is about as large as the page's on a phone and on a desk.
constexpr int kPanelWidth = 420;
constexpr double kLegendLine = 16;
// An axis of percentages shows at least this many points, so that a small change looks small.
constexpr double kLeastSpan = 20;

// 1, 2 or 5 times a power of ten, chosen so that about `wanted` steps cover the range.
double nice_step(double range, int wanted) {
  const double raw = range / wanted;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double rest = raw / power;
  return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

// A value on an axis with as many decimals as its step needs: "0.25", "1,500", "2e-05".
std::string mark_text(double value, double step) {
  const double on_step = std::round(value / step) * step;
  if (std::abs(on_step) < step / 2) return "0";
  if (step >= 1 && std::abs(on_step) < 1e9) {
    return with_commas(static_cast<std::int64_t>(std::llround(on_step)));
  }
  const int decimals = static_cast<int>(std::ceil(-std::log10(step) - 1e-9));
  if (step < 1 && decimals <= 3) return fixed(on_step, decimals);
  std::ostringstream out;
  out.precision(3);
  out << on_step;
  return out.str();
}

struct Axis {
  double low = 0;
  double high = 1;
  double step = 1;

  Axis(double first, double last, int steps) {
    if (!(last > first)) last = first + 1;
    step = nice_step(last - first, steps);
    low = std::floor(first / step) * step;
    high = std::ceil(last / step) * step;
  }
  double share(double value) const { return (value - low) / (high - low); }
  // The values at grid lines and labels.
  std::vector<double> marks() const {
    std::vector<double> values(static_cast<std::size_t>(std::lround((high - low) / step)) + 1);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = low + static_cast<double>(i) * step;
    return values;
  }
};

// A frame with axes; place_x and place_y map values to SVG coordinates.
class Plot {
 public:
  // `above`: what the frame leaves free for a legend.
  Plot(const ChartText& text, Axis x, Axis y, int width, int height, double above = 0)
      : x_(x), y_(y), width_(width), height_(height), top_(kTop + above) {
    out_ = cat("<svg role=\"img\" viewBox=\"0 0 ", width, " ", height, "\" aria-label=\"",
               escaped(text.title), "\"><title>", escaped(text.title), "</title>");
    for (const double v : y_.marks()) {
      out_ += cat("<line class=\"grid\" x1=\"", kLeft, "\" x2=\"", width - kRight, "\" y1=\"",
                  place_y(v), "\" y2=\"", place_y(v), "\"/><text x=\"", kLeft - 6, "\" y=\"",
                  place_y(v) + 4, "\" text-anchor=\"end\">", mark_text(v, y_.step), "</text>");
    }
    for (const double v : x_.marks()) {
      out_ += cat("<text x=\"", place_x(v), "\" y=\"", height - kBottom + 16,
                  "\" text-anchor=\"middle\">", mark_text(v, x_.step), "</text>");
    }
    out_ +=
        cat("<text x=\"", (kLeft + width - kRight) / 2, "\" y=\"", height - 6,
            "\" text-anchor=\"middle\" class=\"axis\">", escaped(text.x),
            "</text><text x=\"14\" y=\"", height / 2, "\" transform=\"rotate(-90 14 ", height / 2,
            ")\" text-anchor=\"middle\" class=\"axis\">", escaped(text.y), "</text>");
  }

  double place_x(double v) const {
    return std::round(10 * (kLeft + x_.share(v) * (width_ - kLeft - kRight))) / 10;
  }
  double place_y(double v) const {
    return std::round(10 * (height_ - kBottom - y_.share(v) * (height_ - top_ - kBottom))) / 10;
  }
  Points placed(const Points& points) const {
    Points places;
    for (const auto& [x, y] : points) places.emplace_back(place_x(x), place_y(y));
    return places;
  }
  LabelArea label_area() const { return {kLeft + 2, 4, width_ - 4.0, height_ - kBottom - 2}; }
  void add(const std::string& piece) { out_ += piece; }
  void polyline(const Points& points, const std::string& css) {
    out_ += cat("<polyline class=\"line ", css, "\" points=\"");
    for (const auto& [x, y] : points) out_ += cat(place_x(x), ",", place_y(y), " ");
    out_ += "\"/>";
  }
  std::string take() { return out_ + "</svg>\n"; }

 private:
  Axis x_;
  Axis y_;
  int width_;
  int height_;
  double top_;
  std::string out_;
};

Points thinned(const Points& points) {
  if (points.size() <= kMaxPoints) return points;
  Points result;
  const std::size_t bucket = (points.size() + kMaxPoints - 1) / kMaxPoints;
  for (std::size_t i = 0; i < points.size(); i += bucket) {
    const std::size_t end = std::min(points.size(), i + bucket);
    double x = 0, y = 0;
    for (std::size_t j = i; j < end; ++j) {
      x += points[j].first / static_cast<double>(end - i);
      y += points[j].second / static_cast<double>(end - i);
    }
    result.emplace_back(x, y);
  }
  return result;
}

struct Bounds {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
};

Bounds bounds_of(const std::vector<Series>& series) {
  Bounds b;
  bool is_first = true;
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      b.x_low = is_first ? x : std::min(b.x_low, x);
      b.x_high = is_first ? x : std::max(b.x_high, x);
      b.y_low = is_first ? y : std::min(b.y_low, y);
      b.y_high = is_first ? y : std::max(b.y_high, y);
      is_first = false;
    }
  }
  return b;
}

std::string figure(const ChartText& text, const std::string& svg) {
  return cat("<figure class=\"chart\"><figcaption>", escaped(text.title), "</figcaption>", svg,
             "</figure>\n");
}

// No mark beyond 0 … 100, and no span below the least.
Axis percent_axis(double low, double high, int steps) {
  const double missing = std::max(0.0, kLeastSpan - (high - low));
  low = std::max(0.0, low - missing / 2);
  high = std::min(100.0, std::max(high + missing / 2, low + kLeastSpan));
  return {std::max(0.0, std::min(low, high - kLeastSpan)), high, steps};
}

// The opening of a chart without axes, as wide as a panel.
std::string svg_head(const ChartText& text, int height) {
  return cat("<svg role=\"img\" viewBox=\"0 0 ", kPanelWidth, " ", height, "\" aria-label=\"",
             escaped(text.title), "\"><title>", escaped(text.title), "</title>");
}

Plot plot_of_points(const ChartText& text, const Points& points, int width, int height) {
  const Bounds b = bounds_of({{"", points, false}});
  const double pad = (b.x_high - b.x_low) / 10;
  return {text, percent_axis(b.x_low - pad, b.x_high + pad, width < 500 ? 4 : 6),
          percent_axis(0, b.y_high, 4), width, height};
}

// `line`: what is drawn between the points.
void add_dots(Plot& plot, const Points& points, const std::vector<std::string>& labels,
              const Points& line) {
  const Points dots = plot.placed(points);
  const auto places = place_labels(dots, labels, plot.placed(line), plot.label_area());
  for (std::size_t i = 0; i < dots.size(); ++i) {
    plot.add(cat("<circle class=\"dot\" cx=\"", dots[i].first, "\" cy=\"", dots[i].second,
                 "\" r=\"5\"/><text x=\"", places[i].x, "\" y=\"", places[i].y, "\" text-anchor=\"",
                 places[i].anchor, "\">", escaped(labels[i]), "</text>"));
  }
}

// Where the names of several lines begin, in as many rows as they need.
Points legend_places(const std::vector<Series>& series, int width) {
  Points places;
  double x = kLeft + 12, y = 10;
  for (const Series& one : series) {
    const double wanted = 50 + 7.2 * static_cast<double>(display_columns(one.name));
    if (!places.empty() && x + wanted > width) {
      x = kLeft + 12;
      y += kLegendLine;
    }
    places.emplace_back(x, y);
    x += wanted;
  }
  return places;
}

// The points that no other beats in one direction without losing in the other, by x.
Points pareto_front(Points points) {
  std::sort(points.begin(), points.end(), std::greater<>());
  Points front;
  for (const auto& point : points) {
    if (front.empty() || point.second > front.back().second) front.push_back(point);
  }
  return front;
}

}  // namespace

std::string line_chart(const ChartText& text, const std::vector<Series>& series, int width,
                       int height) {
  std::vector<Series> thin = series;
  for (Series& one : thin) one.points = thinned(one.points);
  const Bounds b = bounds_of(thin);
  const Points legend = legend_places(thin, width);
  const double above = thin.size() < 2 ? 0 : legend.back().second - legend.front().second;
  Plot plot(text, Axis(b.x_low, b.x_high, width < 500 ? 4 : 6),
            Axis(std::min(0.0, b.y_low), b.y_high, 4), width, height + static_cast<int>(above),
            above);
  for (std::size_t i = 0; i < thin.size(); ++i) {
    const std::string css = cat("s", i % 4, thin[i].is_dashed ? " dashed" : "");
    plot.polyline(thin[i].points, css);
    if (thin.size() < 2) continue;
    const auto& [x, y] = legend[i];
    plot.add(cat("<line class=\"line ", css, "\" x1=\"", x, "\" x2=\"", x + 22, "\" y1=\"", y,
                 "\" y2=\"", y, "\"/><text x=\"", x + 28, "\" y=\"", y + 4, "\">",
                 escaped(thin[i].name), "</text>"));
  }
  return figure(text, plot.take());
}

std::string path_chart(const ChartText& text, const Points& points,
                       const std::vector<std::string>& labels) {
  Plot plot = plot_of_points(text, points, kPanelWidth, 300);
  plot.polyline(points, "s0");
  add_dots(plot, points, labels, points);
  return figure(text, plot.take());
}

std::string front_chart(const ChartText& text, const Points& points,
                        const std::vector<std::string>& labels) {
  Plot plot = plot_of_points(text, points, 720, 320);
  const Points front = pareto_front(points);
  plot.polyline(front, "s1 dashed");
  add_dots(plot, points, labels, front);
  return figure(text, plot.take());
}

std::string panel_chart(const ChartText& text, const Points& points,
                        const std::vector<std::string>& labels) {
  const Bounds b = bounds_of({{"", points, false}});
  Plot plot(text, Axis(std::min(0.0, b.x_low), std::max(1.0, b.x_high), 4),
            percent_axis(0, b.y_high, 4), kPanelWidth, 220);
  plot.polyline(points, "s0");
  add_dots(plot, points, labels, points);
  return figure(text, plot.take());
}

std::string bar_chart(const ChartText& text, const std::vector<BarRow>& rows) {
  constexpr double kBar = 2.8;  // units of length for a percent
  const int height = static_cast<int>(52 * rows.size() + 28);
  std::string svg = svg_head(text, height);
  double y = 4;
  for (const BarRow& row : rows) {
    svg += cat("<text x=\"4\" y=\"", y + 12, "\">", escaped(row.name), "</text>");
    double bar = y + 17;
    for (const auto& [css, value] :
         {std::pair("before", row.before), std::pair("after", row.after)}) {
      svg += cat("<rect class=\"bar ", css, "\" x=\"4\" y=\"", bar, "\" height=\"12\" width=\"",
                 std::max(1.0, kBar * value), "\"/><text class=\"value\" x=\"", 12 + kBar * value,
                 "\" y=\"", bar + 10.5, "\">", fixed(value, 1), " % ", css, "</text>");
      bar += 14;
    }
    y += 52;
  }
  return figure(text, svg + cat("<text class=\"axis\" x=\"4\" y=\"", height - 6, "\">",
                                escaped(text.x), "</text></svg>\n"));
}

std::string count_chart(const ChartText& text,
                        const std::vector<std::pair<std::string, double>>& rows, double most) {
  const int height = static_cast<int>(22 * rows.size() + 28);
  std::string svg = svg_head(text, height);
  double y = 6;
  for (const auto& [name, value] : rows) {
    const double width = 260 * value / std::max(most, 1.0);
    svg += cat("<text x=\"72\" y=\"", y + 12, "\" text-anchor=\"end\">", escaped(name),
               "</text><rect class=\"bar frame\" x=\"80\" y=\"", y,
               "\" height=\"14\" width=\"260\"/><rect class=\"bar after\" x=\"80\" y=\"", y,
               "\" height=\"14\" width=\"", std::max(1.0, width),
               "\"/><text class=\"value\" x=\"348\" y=\"", y + 12, "\">", mark_text(value, 1),
               "</text>");
    y += 22;
  }
  return figure(text, svg + cat("<text class=\"axis\" x=\"80\" y=\"", height - 6, "\">",
                                escaped(text.x), "</text></svg>\n"));
}

}  // namespace saferclip
