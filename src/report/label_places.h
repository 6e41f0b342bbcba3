// Where the labels of points stand, so that they hide neither each other nor what is drawn.
#pragma once

#include <string>
#include <vector>

#include "report/charts.h"

namespace saferclip {

// The baseline and anchor of an SVG text.
struct LabelPlace {
  double x = 0;
  double y = 0;
  const char* anchor = "start";
};

// What the labels should stay within, in SVG units.
struct LabelArea {
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;
};

// Beside each point, clear of the other points, of the line and of the area's edges; where that is
// impossible, of as much as can be. All in SVG units.
std::vector<LabelPlace> place_labels(const Points& points, const std::vector<std::string>& labels,
                                     const Points& line, const LabelArea& area);

}  // namespace saferclip
