// Charts as inline SVG, readable without color (dashes, labels) and by screen readers (a title that
// says what the chart shows).
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace saferclip {

using Points = std::vector<std::pair<double, double>>;

struct Series {
  std::string name;
  Points points;
  bool is_dashed = false;
};

struct ChartText {
  std::string title;
  std::string x;
  std::string y;
};

// Lines over a common x axis, named above it if there are several. Longer series are averaged in
// buckets, to at most 300 points.
std::string line_chart(const ChartText& text, const std::vector<Series>& series, int width = 420,
                       int height = 240);

// Percentages, joined in order, each labeled.
std::string path_chart(const ChartText& text, const Points& points,
                       const std::vector<std::string>& labels);

// One percentage over 0 … 1, from 0 on; each point is labeled with its value.
std::string panel_chart(const ChartText& text, const Points& points,
                        const std::vector<std::string>& labels);

// Labeled points of which both percentages are better the higher they are; a line joins those that
// no other point beats.
std::string front_chart(const ChartText& text, const Points& points,
                        const std::vector<std::string>& labels);

// Two bars per row, 0 … 100.
struct BarRow {
  std::string name;
  double before = 0;
  double after = 0;
};
std::string bar_chart(const ChartText& text, const std::vector<BarRow>& rows);

// One bar per row, 0 … most.
std::string count_chart(const ChartText& text,
                        const std::vector<std::pair<std::string, double>>& rows, double most);

}  // namespace saferclip
