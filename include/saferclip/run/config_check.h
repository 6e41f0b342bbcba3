// Every problem of a configuration and of the files it names, found without decoding a picture or
// reading a tensor.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct ConfigFindings {
  std::vector<std::string> problems;  // "a.yaml:12: data.train: rows.jsonl: no such file"
  std::vector<std::string> warnings;
};

// Never throws because of a bad configuration or a bad file: both are findings.
ConfigFindings check_configuration(const std::filesystem::path& file,
                                   const std::vector<std::string>& overrides);

}  // namespace saferclip
