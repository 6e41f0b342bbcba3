// TensorBoard's event files: TFRecords of Event messages.
// https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "saferclip/core/atomic_files.h"

namespace saferclip {

class ProtobufMessage;

class EventFile {
 public:
  // Creates the file, whose name must contain "tfevents" to be found. Throws Error when it cannot
  // be written, as do the members below.
  explicit EventFile(const std::filesystem::path& path);

  // Tags with "/" form groups.
  void add_scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  // Flushes to disk; another thread may write meanwhile.
  void sync() { out_.sync(); }

 private:
  void add(const ProtobufMessage& event);

  FileWriter out_;
};

}  // namespace saferclip
