// Progress of long work: on a terminal a redrawn line with bar, rate and time left; in a log a
// plain line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "saferclip/core/log.h"

namespace saferclip {

// The content of one line. If the terminal is too narrow, fields are dropped from the right, then
// the bar.
struct StatusText {
  std::string outer;  // "training 40/100: ": the enclosing work, if any
  std::string label;  // "embedding validation, safe images"
  std::int64_t done = 0;
  std::int64_t total = 0;  // 0: unknown, no bar and no percentage
  std::vector<std::string> fields;
};
// The line for a terminal with `columns` columns; it leaves the last one free.
std::string fit_status(const StatusText& text, std::size_t columns);

// "12.3 images/s", or "3.40 s/image" below one per second; `unit` is plural.
std::string rate_text(double per_second, const std::string& unit);

class Progress : private StatusSource {
 public:
  // `unit` is plural ("images"); `done`: finished by an earlier, interrupted run. With `total` 0
  // (end unknown) the line shows the elapsed time.
  Progress(Logger& log, std::string label, std::string unit, std::int64_t total,
           std::int64_t done = 0);
  // Uncounted work.
  Progress(Logger& log, std::string label) : Progress(log, std::move(label), "", 0) {}
  ~Progress() override;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `figures` ("loss 1.234") are shown before the rate, `rest` after it.
  void advance(std::int64_t count, std::vector<std::string> figures = {},
               std::vector<std::string> rest = {});
  // Logs the closing line with total time and mean rate.
  void finish();

 private:
  std::string status_line(std::size_t columns, const std::string& outer) const override;
  std::string plain_line() const override;
  std::string short_name() const override;
  StatusText text() const;
  double rate() const;

  Logger& log_;
  const std::string label_;
  const std::string unit_;
  const std::int64_t total_;
  const std::int64_t start_;
  const std::chrono::steady_clock::time_point began_;
  mutable std::mutex mutex_;  // guards all below
  std::int64_t done_;
  std::vector<std::string> figures_;
  std::vector<std::string> rest_;
};

}  // namespace saferclip
