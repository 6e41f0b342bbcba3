// Whether this machine can do the work: build, device, other processes, matrix products, disk,
// vocabulary, weights files.
#pragma once

#include <string>
#include <vector>

#include "saferclip/run/session.h"

namespace saferclip {

struct MachineFinding {
  std::string name;
  std::string state;  // ok, warn, fail
  std::string text;   // the finding, and how to fix it
};

// `files`: weights to compare with those OpenAI published. Never throws because of a finding.
std::vector<MachineFinding> check_machine(const ComputeOptions& compute,
                                          const std::vector<std::string>& files);

}  // namespace saferclip
