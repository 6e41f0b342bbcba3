// Embeddings of picture files by any number of models of one geometry. Pixels and embeddings are
// kept in the cache folder: a second call embeds only what is new to a model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

struct FolderRequest {
  std::vector<std::filesystem::path> files;
  std::string label;  // where they come from, for people
  std::filesystem::path cache_dir;
  bool exif_rotate = false;
};

// A model whose embeddings are wanted. `model` is called only if some picture is new to it.
struct EmbeddingModel {
  std::string weights;  // SHA-256 that identifies them
  std::function<const ClipModel&()> model;
  std::string label;  // of the progress
};

struct FolderRows {
  at::Tensor rows;            // fp32 [N, E], L2-normalized; zeros where a file is unusable
  std::int64_t embedded = 0;  // rows that no cache held
};

class FolderEmbeddings {
 public:
  // Decodes the files that no artifact of the cache holds. `source` gives geometry and
  // preprocessing. All references must outlive the object. Throws Interrupted.
  FolderEmbeddings(FolderRequest request, const WeightsSource& source, at::Device device,
                   Logger& log, const StopFlag& stop);

  // Per file why it cannot be used; empty where it can.
  const std::vector<std::string>& problems() const { return problems_; }

  // Throws Interrupted.
  FolderRows rows_of(const EmbeddingModel& model) const;

 private:
  FolderRequest request_;
  const WeightsSource& source_;
  at::Device device_;
  Logger& log_;
  const StopFlag& stop_;
  at::Tensor pixels_;                  // uint8 [N, S, S, 3]
  at::Tensor digests_;                 // uint8 [N, 32]
  std::vector<std::string> contents_;  // SHA-256 per file; "" where unusable
  std::vector<std::string> problems_;
};

}  // namespace saferclip
