// The program's exception types. Each carries the exit code of the process; `main` catches them. A
// message says what is wrong, where (file, line, key or tensor), what was expected, what was found,
// and what to do about it.
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

// Unusable manifest, image, caption or cache (exit 3).
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(message, 3) {}
};

// Unusable weights, adapter or checkpoint (exit 4).
struct WeightsError : Error {
  explicit WeightsError(const std::string& message) : Error(message, 4) {}
};

// Non-finite loss or gradient (exit 5).
struct NumericError : Error {
  explicit NumericError(const std::string& message) : Error(message, 5) {}
};

// Exit code when the device has too little memory.
inline constexpr int kOutOfMemory = 6;

// Exit code when another process of the run was killed or its machine was lost; the run can be
// started again with --resume auto.
inline constexpr int kProcessLost = 7;

// Exit code of a run stopped by its time limit, which --resume auto continues: EX_TEMPFAIL of
// sysexits.h, "try again".
inline constexpr int kOutOfTime = 75;

// Stopped by a signal (exit 128 + signal) or a time limit (exit kOutOfTime), after saving what
// there was to save.
struct Interrupted : Error {
  using Error::Error;
};

// One message for several problems: `head`, then one indented line per problem.
std::string join_problems(const std::string& head, const std::vector<std::string>& problems);

}  // namespace saferclip
