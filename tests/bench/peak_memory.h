// Peak memory of this process.
#pragma once

#include <fstream>
#include <string>

// MiB. Not that of getrusage, which counts what the parent held when it forked.
inline long peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    long kib = 0;
    status >> kib;
    return kib / 1024;
  }
  return 0;
}
