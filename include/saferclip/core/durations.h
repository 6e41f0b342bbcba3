// Durations in the forms that people write and read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace saferclip {

// "1h 02m", "3m 20s", "4.1s".
std::string human_duration(double seconds);

// In seconds: "55m", "1h30m", "2d", "90s", or Slurm's forms with a colon or a dash: "55:00"
// (minutes:seconds), "1:30:00", "1-02" (days-hours), "1-02:30", "1-02:30:00". Empty for anything
// else, including a bare number, which Slurm reads as minutes and other programs as seconds.
std::optional<std::int64_t> parse_duration(std::string_view text);

}  // namespace saferclip
