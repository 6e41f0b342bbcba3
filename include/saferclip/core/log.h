// Messages for people, on stderr and optionally in a file. Made once by the command line and passed
// on; nothing else in the product knows the logging library.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace saferclip {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

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
  // One line that is redrawn in place on a terminal; "" removes it. Never written to a file.
  void status_line(const std::string& line);
  // Whether stderr is a terminal (status lines are drawn) or not (plain lines instead).
  bool is_terminal() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace saferclip
