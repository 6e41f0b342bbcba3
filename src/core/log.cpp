// spdlog formats messages; the status line is drawn here with plain writes, under one mutex with
// all messages, so neither ever tears the other. After each drawing the cursor returns to the head
// of the line: if the terminal becomes narrower and breaks the line, all its pieces are still below
// the cursor, and clearing from there removes them.
#include "saferclip/core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "core/terminal.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRedraw{200};
constexpr std::chrono::seconds kBetweenPlainLines{10};
constexpr std::chrono::seconds kBeforeFirstPlainLine{1};

constexpr std::string_view kClearBelow = "\r\x1b[J";

// Read by clear_status_line(), which may not lock.
std::atomic<bool> g_is_drawn{false};

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

}  // namespace

struct Logger::State {
  std::shared_ptr<spdlog::logger> logger;
  bool can_redraw = false;
  bool shows_progress = false;

  std::mutex mutex;  // guards all below and every write
  std::vector<const StatusSource*> sources;
  bool is_drawn = false;
  Clock::time_point next_plain_line;
  std::string last_plain_line;
  std::thread ticker;
  std::condition_variable wake;
  bool is_ending = false;

  void erase() {
    if (!is_drawn) return;
    std::fwrite(kClearBelow.data(), 1, kClearBelow.size(), stderr);
    std::fflush(stderr);
    g_is_drawn = is_drawn = false;
  }

  void draw() {
    std::string outer;
    for (std::size_t i = 0; i + 1 < sources.size(); ++i) outer += sources[i]->short_name() + ": ";
    const std::string line = sources.back()->status_line(stderr_columns(), outer);
    std::fprintf(stderr, "\r%s\x1b[J\r", line.c_str());
    std::fflush(stderr);
    g_is_drawn = is_drawn = true;
  }

  void write_plain_line() {
    const auto now = Clock::now();
    if (now < next_plain_line) return;
    std::string line;
    for (const StatusSource* source : sources) {
      line += source == sources.back() ? source->plain_line() : source->short_name() + ": ";
    }
    if (line == last_plain_line) return;
    next_plain_line = now + kBetweenPlainLines;
    logger->info("{}", line);
    last_plain_line = std::move(line);
  }

  void tick() {
    std::unique_lock lock(mutex);
    while (!is_ending) {
      wake.wait_for(lock, kRedraw);
      if (is_ending || sources.empty()) continue;
      can_redraw ? draw() : write_plain_line();
    }
  }

  void write(spdlog::level::level_enum level, const std::string& message) {
    const std::lock_guard lock(mutex);
    if (!logger->should_log(level)) return;
    erase();
    logger->log(level, "{}", message);
    if (can_redraw && shows_progress && !sources.empty()) draw();
  }
};

Logger::Logger(LogLevel level) : state_(std::make_unique<State>()) {
  const bool can_redraw = can_redraw_stderr();
  const auto console = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
      can_redraw ? spdlog::color_mode::automatic : spdlog::color_mode::never);
  console->set_pattern("%^%L%$ %v");
  console->set_level(spdlog_level(level));
  state_->logger = std::make_shared<spdlog::logger>("saferclip", console);
  state_->logger->set_level(spdlog_level(level));
  state_->can_redraw = can_redraw;
  state_->shows_progress = level <= LogLevel::kInfo;
}

Logger::~Logger() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->erase();
    state_->is_ending = true;
  }
  state_->wake.notify_all();
  if (state_->ticker.joinable()) state_->ticker.join();
}

void Logger::debug(const std::string& message) { state_->write(spdlog::level::debug, message); }

void Logger::info(const std::string& message) { state_->write(spdlog::level::info, message); }

void Logger::warn(const std::string& message) { state_->write(spdlog::level::warn, message); }

void Logger::error(const std::string& message) { state_->write(spdlog::level::err, message); }

void Logger::speak_as(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  spdlog::sink_ptr& console = state_->logger->sinks().front();
  console->set_pattern(cat("%^%L%$ ", name, ": %v"));
  console->set_level(std::max(console->level(), spdlog::level::warn));
  state_->shows_progress = false;
}

Logger::Hush::Hush(Logger& log) : log_(log) {
  const std::lock_guard lock(log.state_->mutex);
  const spdlog::sink_ptr& console = log.state_->logger->sinks().front();
  level_ = console->level();
  console->set_level(std::max(console->level(), spdlog::level::err));
}

Logger::Hush::~Hush() {
  const std::lock_guard lock(log_.state_->mutex);
  log_.state_->logger->sinks().front()->set_level(static_cast<spdlog::level::level_enum>(level_));
}

void Logger::mute_terminal() {
  const std::lock_guard lock(state_->mutex);
  state_->logger->sinks().front()->set_level(spdlog::level::off);
  state_->shows_progress = false;
}

void Logger::also_to_file(const std::filesystem::path& path) {
  std::shared_ptr<spdlog::sinks::basic_file_sink_mt> sink;
  try {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
  } catch (const spdlog::spdlog_ex&) {
    throw_storage_error("create", path, errno);
  }
  sink->set_pattern("%Y-%m-%d %H:%M:%S %L %v");
  const std::lock_guard lock(state_->mutex);
  state_->logger->sinks().push_back(std::move(sink));
  // A quiet terminal leaves the file whole.
  state_->logger->set_level(std::min(state_->logger->level(), spdlog::level::info));
  state_->logger->flush_on(spdlog::level::info);
}

void Logger::show(const StatusSource& source) {
  State& state = *state_;
  if (!state.shows_progress) return;
  const std::lock_guard lock(state.mutex);
  state.sources.push_back(&source);
  if (!state.ticker.joinable()) {
    state.next_plain_line = Clock::now() + kBeforeFirstPlainLine;
    state.ticker = std::thread([&state] { state.tick(); });
  }
  if (state.can_redraw) state.draw();
}

void Logger::hide(const StatusSource& source) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  if (std::erase(state.sources, &source) == 0) return;
  state.erase();
  if (state.can_redraw && !state.sources.empty()) state.draw();
}

void clear_status_line() noexcept {
  if (g_is_drawn.exchange(false)) {
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, kClearBelow.data(), kClearBelow.size());
  }
}

}  // namespace saferclip
