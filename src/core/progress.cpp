#include "saferclip/core/progress.h"

#include <utility>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::chrono::milliseconds kRedraw{200};
constexpr std::chrono::seconds kLogInterval{15};

double seconds_since(std::chrono::steady_clock::time_point moment) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - moment).count();
}

}  // namespace

Progress::Progress(Logger& log, std::string label, std::string unit, std::int64_t total,
                   std::int64_t done)
    : log_(log),
      label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      start_(done),
      done_(done),
      began_(std::chrono::steady_clock::now()),
      last_drawn_(began_ - kRedraw),
      last_logged_(began_) {}

Progress::~Progress() {
  if (!is_finished_) log_.status_line("");
}

std::string Progress::line(const std::string& detail) const {
  const double seconds = seconds_since(began_);
  const auto worked = static_cast<double>(done_ - start_);
  std::string text = cat(label_, " ", with_commas(done_), "/", with_commas(total_), " ", unit_);
  if (worked > 0 && seconds > 0) {
    const double rate = worked / seconds;
    text += cat(" · ", fixed(rate, rate < 10 ? 2 : 0), "/s · ",
                human_duration(static_cast<double>(total_ - done_) / rate), " left");
  }
  if (!detail.empty()) text += " · " + detail;
  return text;
}

void Progress::advance(std::int64_t count, const std::string& detail) {
  done_ += count;
  const auto now = std::chrono::steady_clock::now();
  if (log_.is_terminal()) {
    if (now - last_drawn_ >= kRedraw) {
      last_drawn_ = now;
      log_.status_line(line(detail));
    }
  } else if (now - last_logged_ >= kLogInterval) {
    last_logged_ = now;
    log_.info(line(detail));
  }
}

void Progress::finish() {
  is_finished_ = true;
  log_.status_line("");
  const double seconds = seconds_since(began_);
  const auto worked = static_cast<double>(done_ - start_);
  log_.info(cat(label_, ": ", with_commas(done_), " ", unit_, " in ", human_duration(seconds),
                seconds > 0 && worked > 0 ? cat(" (", fixed(worked / seconds, 1), "/s)") : ""));
}

}  // namespace saferclip
