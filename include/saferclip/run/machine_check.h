// Whether this machine can do the work: build, device, products, disk, vocabulary, weights files.
#pragma once

#include <string>
#include <vector>

#include "saferclip/run/session.h"

namespace saferclip {

struct MachineFinding {
  std::string name;
  std::string state;  // ok, warn, fail
  std::string text;   // what was found, and the cure
};

// `files`: weights to compare with what OpenAI published. Never throws for what it finds.
std::vector<MachineFinding> check_machine(const ComputeOptions& compute,
                                          const std::vector<std::string>& files);

}  // namespace saferclip
