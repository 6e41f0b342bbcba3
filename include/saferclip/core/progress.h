// Progress of a long loop: a redrawn line with rate and time left on a terminal, a plain line now
// and then in a log.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "saferclip/core/log.h"

namespace saferclip {

class Progress {
 public:
  // `unit` is plural ("images"); `done` is what an interrupted run had finished already.
  Progress(Logger& log, std::string label, std::string unit, std::int64_t total,
           std::int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` is appended to the line ("loss 1.234").
  void advance(std::int64_t count, const std::string& detail = "");
  // Writes the closing line with the total time and the mean rate.
  void finish();

 private:
  std::string line(const std::string& detail) const;

  Logger& log_;
  std::string label_;
  std::string unit_;
  std::int64_t total_;
  std::int64_t start_;
  std::int64_t done_;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point last_drawn_;
  std::chrono::steady_clock::time_point last_logged_;
  bool is_finished_ = false;
};

}  // namespace saferclip
