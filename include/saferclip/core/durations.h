// Times as people write and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace saferclip {

// "1h 02m", "3m 20s", "4.1s"; `seconds` in seconds.
std::string human_duration(double seconds);

// Seconds of "55m", "1h30m", "2d", "90s", or of Slurm's forms with a colon or a dash: "55:00"
// (minutes: seconds), "1:30:00", "1-02", "1-02:30", "1-02:30:00". Empty for anything else, a bare
// number (Slurm: minutes, others: seconds) among it.
std::optional<std::int64_t> parse_duration(std::string_view text);

}  // namespace saferclip
