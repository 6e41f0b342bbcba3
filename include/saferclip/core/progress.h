// Progress of long work: a line with bar, rate and time left that is redrawn on a terminal, a plain
// line now and then in a log.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "saferclip/core/log.h"

namespace saferclip {

// What one line says. A terminal that is too narrow loses fields from the right, then the bar.
struct StatusText {
  std::string outer;  // "training 40/100: ", when it is a part of that
  std::string label;  // "embedding validation, safe images"
  std::int64_t done = 0;
  std::int64_t total = 0;  // 0: not known, neither bar nor percent
  std::vector<std::string> fields;
};
// The line for a terminal of this width, in less than `columns` columns.
std::string fit_status(const StatusText& text, std::size_t columns);

// "12.3 images/s", or "3.40 s/image" below one a second; `unit` is plural.
std::string rate_text(double per_second, const std::string& unit);

class Progress : private StatusSource {
 public:
  // `unit` is plural ("images"); `done` is what an interrupted run had finished already. With
  // `total` 0, work whose end is not known, the time it has taken so far is shown.
  Progress(Logger& log, std::string label, std::string unit, std::int64_t total,
           std::int64_t done = 0);
  // Work without a count.
  Progress(Logger& log, std::string label) : Progress(log, std::move(label), "", 0) {}
  ~Progress() override;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `figures` ("loss 1.234") stand before the rate, `rest` behind it.
  void advance(std::int64_t count, std::vector<std::string> figures = {},
               std::vector<std::string> rest = {});
  // Writes the closing line with the total time and the mean rate.
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
  mutable std::mutex mutex_;  // of all below
  std::int64_t done_;
  std::vector<std::string> figures_;
  std::vector<std::string> rest_;
};

}  // namespace saferclip
