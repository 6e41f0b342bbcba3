// TensorBoard's event files: TFRecords of Event messages.
// https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "saferclip/core/atomic_files.h"

namespace saferclip {

class ProtobufMessage;

// How values are distributed; `counts` of the values up to each of `limits`, which rise.
struct Histogram {
  double min = 0;
  double max = 0;
  double num = 0;
  double sum = 0;
  double sum_squares = 0;
  std::vector<double> limits;
  std::vector<double> counts;
};

class EventFile {
 public:
  // Creates the file, whose name must contain "tfevents" to be found. Throws Error when it cannot
  // be written, as do the members below.
  explicit EventFile(const std::filesystem::path& path);

  // Tags with "/" form groups.
  void add_scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void add_histogram(std::int64_t step, const std::string& tag, const Histogram& histogram);
  // `png`: the bytes of a PNG file.
  void add_image(std::int64_t step, const std::string& tag, std::string_view png);
  // Flushes to disk; another thread may write meanwhile.
  void sync() { out_.sync(); }

 private:
  void add(const ProtobufMessage& event);

  FileWriter out_;
};

}  // namespace saferclip
