// Finds embeddings in finished artifacts by the hash of what was embedded. A row found there is
// copied; embedding it again would give the same bits (prepare/embedding).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "prepare/artifact.h"
#include "prepare/picture_rows.h"

namespace saferclip {

// uint8 [N, 32]: SHA-256 of each row of ids, or of each picture file's bytes; zeros for missing
// pictures.
at::Tensor row_digests(const at::Tensor& ids);
at::Tensor picture_digests(const std::vector<PictureRecord>& records);

// Appends embeddings and, under the name that KnownRows looks for, the digests of their inputs.
void append_with_source(std::vector<NamedTensor>& tensors, const std::string& name,
                        const at::Tensor& embedded, const at::Tensor& digests);

class KnownRows {
 public:
  // Uses the relatives' embeddings of `width` numbers; their data is read and checked on first use.
  KnownRows(const std::vector<Relative>& relatives, std::int64_t width, Logger& log);

  // Embeddings [N, E] of the inputs with these digests; rows with zero digests are zero.
  // `embed_new` embeds each distinct new input once: it gets their positions int64 [M], M >= 0, and
  // returns [M, E].
  at::Tensor embed(const at::Tensor& digests,
                   const std::function<at::Tensor(const at::Tensor& positions)>& embed_new);

  // For each row of the last `embed`: whether it was already known.
  const std::vector<bool>& was_known() const { return was_known_; }
  // "reference-0123456789abcdef, …": the artifacts that rows came from.
  std::string taken_from() const;

 private:
  struct Donor {
    Relative relative;
    bool is_checked = false;
    bool is_good = false;
  };
  struct Place {
    std::size_t donor = 0;
    const float* row = nullptr;
  };
  void read(std::size_t donor);
  const float* find(std::string_view digest);

  std::int64_t width_;
  Logger& log_;
  std::vector<Donor> donors_;
  std::vector<at::Tensor> tensors_;  // keeps the memory behind places_
  std::unordered_map<std::string_view, Place> places_;
  std::vector<bool> was_known_;
  std::set<std::string> used_;
};

}  // namespace saferclip
