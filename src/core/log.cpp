#include "saferclip/core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <mutex>

#include "saferclip/core/files.h"

namespace saferclip {

struct Logger::State {
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> console;
  std::shared_ptr<spdlog::logger> logger;
  std::mutex mutex;
  bool is_terminal = false;
  bool has_status = false;
};

Logger::Logger(LogLevel level) : state_(std::make_unique<State>()) {
  state_->console = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  state_->console->set_pattern("%^%L%$ %v");
  state_->logger = std::make_shared<spdlog::logger>("saferclip", state_->console);
  state_->is_terminal = ::isatty(STDERR_FILENO) != 0 && level <= LogLevel::kInfo;
  switch (level) {
    case LogLevel::kDebug:
      state_->logger->set_level(spdlog::level::debug);
      break;
    case LogLevel::kInfo:
      state_->logger->set_level(spdlog::level::info);
      break;
    case LogLevel::kWarn:
      state_->logger->set_level(spdlog::level::warn);
      break;
    case LogLevel::kError:
      state_->logger->set_level(spdlog::level::err);
      break;
    case LogLevel::kOff:
      state_->logger->set_level(spdlog::level::off);
      break;
  }
}

Logger::~Logger() { status_line(""); }

void Logger::debug(const std::string& message) { state_->logger->debug("{}", message); }

void Logger::info(const std::string& message) {
  status_line("");
  state_->logger->info("{}", message);
}

void Logger::warn(const std::string& message) {
  status_line("");
  state_->logger->warn("{}", message);
}

void Logger::error(const std::string& message) {
  status_line("");
  state_->logger->error("{}", message);
}

void Logger::also_to_file(const std::filesystem::path& path) {
  std::shared_ptr<spdlog::sinks::basic_file_sink_mt> sink;
  try {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
  } catch (const spdlog::spdlog_ex&) {
    throw_storage_error("create", path, errno);
  }
  sink->set_pattern("%Y-%m-%d %H:%M:%S %L %v");
  state_->logger->sinks().push_back(std::move(sink));
  state_->logger->flush_on(spdlog::level::info);
}

void Logger::status_line(const std::string& line) {
  if (!state_->is_terminal) return;
  const std::lock_guard guard(state_->mutex);
  if (line.empty() && !state_->has_status) return;
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  state_->has_status = !line.empty();
}

bool Logger::is_terminal() const { return state_->is_terminal; }

}  // namespace saferclip
