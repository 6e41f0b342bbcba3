// Greedy: each label in turn takes the best of a few places around its point. Widths are estimates,
// since only the browser knows its fonts.
#include "report/label_places.h"

#include <algorithm>
#include <array>

#include "saferclip/core/display.h"

namespace saferclip {
namespace {

constexpr double kLetterWidth = 6.8;  // of the charts' 12 units high text
constexpr double kAscent = 10, kDescent = 3;
constexpr double kDot = 6;

struct Box {
  double left;
  double top;
  double right;
  double bottom;
};

bool overlap(const Box& a, const Box& b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

// The part of a segment within the box is found by cutting it at each side in turn.
bool crosses(const Box& box, std::pair<double, double> from, std::pair<double, double> to) {
  double begin = 0, end = 1;
  const auto cut = [&](double start, double change, double low, double high) {
    if (change == 0) return start >= low && start <= high;
    const double one = (low - start) / change, other = (high - start) / change;
    begin = std::max(begin, std::min(one, other));
    end = std::min(end, std::max(one, other));
    return begin <= end;
  };
  return cut(from.first, to.first - from.first, box.left, box.right) &&
         cut(from.second, to.second - from.second, box.top, box.bottom);
}

Box box_of(const LabelPlace& place, const std::string& label) {
  const double width = kLetterWidth * static_cast<double>(display_columns(label));
  const std::string anchor = place.anchor;
  const double left = place.x - (anchor == "end" ? width : anchor == "middle" ? width / 2 : 0);
  return {left, place.y - kAscent, left + width, place.y + kDescent};
}

// In the order of preference.
std::array<LabelPlace, 14> places_around(double x, double y) {
  return {{{x, y - 9, "middle"},
           {x + 8, y - 8, "start"},
           {x - 8, y - 8, "end"},
           {x, y + 18, "middle"},
           {x + 8, y + 16, "start"},
           {x - 8, y + 16, "end"},
           {x + 10, y + 4, "start"},
           {x - 10, y + 4, "end"},
           {x + 12, y - 5, "start"},
           {x - 12, y - 5, "end"},
           {x + 8, y - 23, "start"},
           {x - 8, y - 23, "end"},
           {x + 8, y + 31, "start"},
           {x - 8, y + 31, "end"}}};
}

}  // namespace

std::vector<LabelPlace> place_labels(const Points& points, const std::vector<std::string>& labels,
                                     const Points& line, const LabelArea& area) {
  std::vector<LabelPlace> chosen;
  std::vector<Box> taken;
  const auto cost_of = [&](const Box& box) {
    int cost = 0;
    const bool is_inside = box.left >= area.left && box.right <= area.right &&
                           box.top >= area.top && box.bottom <= area.bottom;
    if (!is_inside) cost += 8;
    for (const Box& other : taken) cost += overlap(box, other) ? 8 : 0;
    for (const auto& [x, y] : points) {
      cost += overlap(box, {x - kDot, y - kDot, x + kDot, y + kDot}) ? 4 : 0;
    }
    for (std::size_t i = 1; i < line.size(); ++i) {
      cost += crosses(box, line[i - 1], line[i]) ? 2 : 0;
    }
    return cost;
  };
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto places = places_around(points[i].first, points[i].second);
    const auto best = std::min_element(
        places.begin(), places.end(), [&](const LabelPlace& a, const LabelPlace& b) {
          return cost_of(box_of(a, labels[i])) < cost_of(box_of(b, labels[i]));
        });
    taken.push_back(box_of(*best, labels[i]));
    chosen.push_back(*best);
  }
  return chosen;
}

}  // namespace saferclip
