// Messages for people, on stderr and optionally in a file. Made once by the command line and passed
// on; nothing else in the product knows the logging library.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace saferclip {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

// Work whose state stands in the last line of a terminal. Asked from another thread than the one
// that works.
class StatusSource {
 public:
  virtual ~StatusSource() = default;
  // One line of at most `columns` columns. `outer` is the work that this is a part of ("" none).
  virtual std::string status_line(std::size_t columns, const std::string& outer) const = 0;
  // The same for a log, of any length.
  virtual std::string plain_line() const = 0;
  // What stands as `outer` before the line of its parts.
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

  // From now on every message also goes to `path` (appended), with date and time.
  void also_to_file(const std::filesystem::path& path);

  // From show to hide the newest of these is drawn in the last line, several times a second and as
  // wide as the terminal is at that moment, below all messages. Without a terminal, with
  // TERM=dumb or NO_COLOR, it is a message every ten seconds at most, the first after one.
  void show(const StatusSource& source);
  void hide(const StatusSource& source);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// For a process that is about to end without unwinding: takes the drawn line away.
void clear_status_line() noexcept;

}  // namespace saferclip
