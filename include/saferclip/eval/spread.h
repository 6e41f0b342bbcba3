// The spread of a figure over runs that differ in nothing but their seed.
#pragma once

#include <cstdint>
#include <vector>

namespace saferclip {

// The value that |t| exceeds in 5 % of the cases under Student's t with `degrees` >= 1.
double student_t_95(std::int64_t degrees);

struct Spread {
  double mean = 0;
  double half_width = 0;  // of the 95 % t interval of the mean; 0 for one value
};

// Throws Error without a value.
Spread spread_of(const std::vector<double>& values);

}  // namespace saferclip
