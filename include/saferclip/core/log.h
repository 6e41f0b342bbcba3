// Messages to people, on stderr and optionally in a file. The command line makes one logger and
// passes it on; only log.cpp includes the logging library. Thread-safe.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "saferclip/core/enum_words.h"

namespace saferclip {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };
constexpr auto enum_words(LogLevel) {
  return std::to_array<EnumWord<LogLevel>>({{LogLevel::kDebug, "debug"},
                                            {LogLevel::kInfo, "info"},
                                            {LogLevel::kWarn, "warn"},
                                            {LogLevel::kError, "error"},
                                            {LogLevel::kOff, "off"}});
}

// Work whose progress the terminal's last line shows. The logger calls these from its own thread.
class StatusSource {
 public:
  virtual ~StatusSource() = default;
  // One line of less than `columns` columns. `outer` names the enclosing work, "" if none.
  virtual std::string status_line(std::size_t columns, const std::string& outer) const = 0;
  // The same for a log file, of any length.
  virtual std::string plain_line() const = 0;
  // How this appears in `outer` of enclosed work.
  virtual std::string short_name() const = 0;
};

class Logger {
 public:
  explicit Logger(LogLevel level);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void debug(const std::string& message);
  void info(const std::string& message);
  void warn(const std::string& message);
  void error(const std::string& message);

  // From now on the terminal gets warnings and errors alone, after `name`: this is one of several
  // processes, and not the one that speaks for them. Files added later get everything.
  void speak_as(const std::string& name);
  // While it lives, the terminal gets errors alone: another process gives the same warnings.
  class Hush {
   public:
    explicit Hush(Logger& log);
    ~Hush();
    Hush(const Hush&) = delete;
    Hush& operator=(const Hush&) = delete;

   private:
    Logger& log_;
    int level_;
  };
  // From now on nothing goes to the terminal.
  void mute_terminal();

  // From now on appends every message from level info on, with date and time, to `path` as well,
  // however quiet the terminal is. Throws Error if it cannot be opened.
  void also_to_file(const std::filesystem::path& path);

  // Between show and hide, the newest source is redrawn several times a second as the last line,
  // below all messages, in the terminal's current width. Without a terminal, or with TERM=dumb or
  // NO_COLOR, it is logged at most every ten seconds instead, first after one second.
  void show(const StatusSource& source);
  void hide(const StatusSource& source);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Erases the drawn line, for a process about to end without unwinding. Async-signal-safe.
void clear_status_line() noexcept;

}  // namespace saferclip
