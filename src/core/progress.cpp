// The line is fitted to the terminal by dropping the least important: fields from the right, then
// the outer work's name, then the bar; percentage and a cut label remain. Widths are in terminal
// columns, not bytes. The logger calls from its own thread, so counts are guarded by a mutex.
#include "saferclip/core/progress.h"

#include <algorithm>
#include <utility>

#include "saferclip/core/display.h"
#include "saferclip/core/durations.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kGap = 2;  // between fields
constexpr std::size_t kShortestBar = 4;
constexpr std::size_t kLongestBar = 20;

double seconds_since(std::chrono::steady_clock::time_point moment) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - moment).count();
}

// ASCII: all terminals agree on its width.
std::string bar_text(double share, std::size_t cells) {
  const auto full =
      std::min(cells, static_cast<std::size_t>(share * static_cast<double>(cells) + 1e-9));
  std::string bar(full, '=');
  if (full < cells && full > 0) bar.back() = '>';
  return "[" + bar + std::string(cells - full, ' ') + "]";
}

std::string percent_text(double share) {
  const std::string digits = std::to_string(static_cast<int>(100 * share + 1e-9));
  return std::string(digits.size() < 3 ? 3 - digits.size() : 0, ' ') + digits + "%";
}

// Names may contain line breaks and other control characters.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char letter) { return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F; }, '?');
  return text;
}

std::string singular(const std::string& unit) {
  return unit.ends_with('s') ? unit.substr(0, unit.size() - 1) : unit;
}

// Columns of the first `count` fields, gaps included.
std::size_t width_of(const std::vector<std::string>& fields, std::size_t count) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < count; ++i) width += kGap + display_columns(fields[i]);
  return width;
}

}  // namespace

std::string fit_status(const StatusText& text, std::size_t columns) {
  // The last column stays free: some terminals wrap after it.
  const std::size_t room = columns > 1 ? columns - 1 : 0;
  const bool has_bar = text.total > 0;
  const double share =
      has_bar ? std::clamp(static_cast<double>(text.done) / static_cast<double>(text.total), 0., 1.)
              : 0;
  const std::string percent = has_bar ? percent_text(share) : "";
  const std::size_t bar_columns = has_bar ? 1 + kShortestBar + 2 : 0;
  const std::size_t percent_columns = has_bar ? 1 + percent.size() : 0;
  std::string label = on_one_line(text.outer + text.label);
  const auto fits = [&](std::size_t fields) {
    return display_columns(label) + bar_columns + percent_columns + width_of(text.fields, fields) <=
           room;
  };
  // The first two fields are worth more than the name of the outer work.
  if (!fits(std::min<std::size_t>(2, text.fields.size()))) label = on_one_line(text.label);
  std::size_t count = text.fields.size();
  while (count > 0 && !fits(count)) --count;
  if (!fits(0)) {
    if (percent_columns >= room) return cut_to_columns(percent, room);
    return cut_to_columns(label, room - percent_columns) + (has_bar ? " " + percent : "");
  }
  std::string line = label;
  if (has_bar) {
    const std::size_t used =
        display_columns(label) + bar_columns + percent_columns + width_of(text.fields, count);
    const std::size_t cells = std::min(kLongestBar, kShortestBar + room - used);
    line += " " + bar_text(share, cells) + " " + percent;
  }
  for (std::size_t i = 0; i < count; ++i) {
    line += std::string(kGap, ' ') + on_one_line(text.fields[i]);
  }
  return line;
}

std::string rate_text(double per_second, const std::string& unit) {
  if (per_second < 1) return cat(fixed(1 / per_second, 2), " s/", singular(unit));
  return cat(fixed(per_second, per_second < 10 ? 1 : 0), " ", unit, "/s");
}

Progress::Progress(Logger& log, std::string label, std::string unit, std::int64_t total,
                   std::int64_t done)
    : log_(log),
      label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      start_(done),
      began_(std::chrono::steady_clock::now()),
      done_(done) {
  log_.show(*this);
}

Progress::~Progress() { log_.hide(*this); }

double Progress::rate() const {
  const double seconds = seconds_since(began_);
  return seconds > 0 ? static_cast<double>(done_ - start_) / seconds : 0;
}

StatusText Progress::text() const {
  const std::lock_guard lock(mutex_);
  StatusText text{"", label_, done_, total_, {}};
  const double per_second = rate();
  if (total_ > 0) {
    text.fields.push_back(cat(with_commas(done_), "/", with_commas(total_), " ", unit_));
    if (per_second > 0) {
      text.fields.push_back(human_duration(static_cast<double>(total_ - done_) / per_second) +
                            " left");
    }
  } else {
    text.fields.push_back(human_duration(seconds_since(began_)));
  }
  text.fields.insert(text.fields.end(), figures_.begin(), figures_.end());
  if (per_second > 0) text.fields.push_back(rate_text(per_second, unit_));
  text.fields.insert(text.fields.end(), rest_.begin(), rest_.end());
  return text;
}

std::string Progress::status_line(std::size_t columns, const std::string& outer) const {
  StatusText all = text();
  all.outer = outer;
  return fit_status(all, columns);
}

std::string Progress::plain_line() const {
  const StatusText all = text();
  return cat(label_, " ", join(all.fields, ", "));
}

std::string Progress::short_name() const {
  const std::lock_guard lock(mutex_);
  return total_ > 0 ? cat(label_, " ", with_commas(done_), "/", with_commas(total_)) : label_;
}

void Progress::advance(std::int64_t count, std::vector<std::string> figures,
                       std::vector<std::string> rest) {
  const std::lock_guard lock(mutex_);
  done_ += count;
  figures_ = std::move(figures);
  rest_ = std::move(rest);
}

void Progress::finish() {
  log_.hide(*this);
  const double seconds = seconds_since(began_);
  const std::int64_t worked = done_ - start_;
  log_.info(cat(label_, ": ", with_commas(done_), " ", unit_, " in ", human_duration(seconds),
                seconds > 0 && worked > 0
                    ? cat(" (", rate_text(static_cast<double>(worked) / seconds, unit_), ")")
                    : ""));
}

}  // namespace saferclip
