// All that is wrong with a configuration and with what it names, found without decoding a picture
// or reading a tensor.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct ConfigFindings {
  std::vector<std::string> problems;  // "a.yaml:12: data.train: rows.jsonl: no such file"
  std::vector<std::string> warnings;
};

// Never throws for what is wrong with the configuration or its files.
ConfigFindings check_configuration(const std::filesystem::path& file,
                                   const std::vector<std::string>& overrides);

}  // namespace saferclip
