// Embeds the rows of one list with the frozen reference, for an artifact. Rows that relatives
// already hold are copied; the rest is embedded by all processes of a run.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "prepare/artifact.h"
#include "prepare/known_rows.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/prepare/embedding.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// "cpu AVX2", "cuda tf32": products differ between devices in their last bits.
std::string device_text(at::Device device, bool is_tf32);

struct ReferenceRequest {
  const WeightsSource& source;
  at::Device device;
  std::function<const ClipModel&()> model;  // loads it on first use
  std::string label;                        // "reference, train"
  const StopFlag* stop = nullptr;
  bool is_tf32 = false;  // products in TF32
  Builders builders;
};

class ReferenceRows {
 public:
  ReferenceRows(ReferenceRequest request, const std::vector<Relative>& relatives, Logger& log);

  // Both add a tensor `name` [N, E] and its digests, for later artifacts to copy from; N must be
  // the same in all calls on one object. Both throw Interrupted. Called by all processes with the
  // same rows; the writers get the result.
  void add_captions(const std::string& name, const at::Tensor& ids);
  // uint8 [N, S, S, 3]; rows without a digest are zero.
  void add_pictures(const std::string& name, const at::Tensor& pixels, const at::Tensor& digests);

  // How many rows were embedded, not copied.
  std::int64_t new_rows() const;

  // Logs how many rows were copied entirely, and from where; moves the tensors out.
  std::vector<NamedTensor> finish();

 private:
  std::string label_of(const std::string& name) const;
  using EmbedNew = std::function<at::Tensor(const at::Tensor& positions)>;
  EmbedJob job_of(const std::string& name) const;
  void add(const std::string& name, const at::Tensor& digests, const EmbedNew& embed_new);
  at::Tensor embed_together(const at::Tensor& digests, const EmbedNew& embed_new);

  ReferenceRequest request_;
  Logger& log_;
  KnownRows known_;
  std::vector<bool> is_taken_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace saferclip
