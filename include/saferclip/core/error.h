// The exception types of the product. Each carries the exit code of the process; `main` is the only
// place that catches them. A message says what, where (file, line, key or tensor), what was
// expected, what was found, and the cure.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace saferclip {

class Error : public std::runtime_error {
 public:
  Error(const std::string& message, int exit_code)
      : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

// Wrong command line or configuration (exit 2).
struct ConfigError : Error {
  explicit ConfigError(const std::string& message) : Error(message, 2) {}
};

// Manifest, image, caption or cache that cannot be used (exit 3).
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(message, 3) {}
};

// Weights, adapter or checkpoint that cannot be used (exit 4).
struct WeightsError : Error {
  explicit WeightsError(const std::string& message) : Error(message, 4) {}
};

// Non-finite loss or gradient (exit 5).
struct NumericError : Error {
  explicit NumericError(const std::string& message) : Error(message, 5) {}
};

// The exit code of a run that its time limit has stopped, which goes on with --resume auto:
// EX_TEMPFAIL of sysexits.h, "try again".
inline constexpr int kOutOfTime = 75;

// Stopped, after saving where there was something to save: by a signal (exit 128 + signal) or by a
// time limit (exit kOutOfTime).
struct Interrupted : Error {
  using Error::Error;
};

// One message out of several problems: a head line, then one indented line for each problem.
std::string join_problems(const std::string& head, const std::vector<std::string>& problems);

}  // namespace saferclip
