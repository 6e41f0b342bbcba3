// Embeddings that finished artefacts hold already, found by what was embedded: a row that is in one
// of them is copied, bit for bit what embedding it again would give (prepare/embedding).
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "prepare/artefact.h"
#include "prepare/picture_rows.h"

namespace saferclip {

// uint8 [N, 32]: SHA-256 of each row of ids. Of pictures: of the files' bytes; zeros for those that
// are not there.
at::Tensor row_digests(const at::Tensor& ids);
at::Tensor picture_digests(const std::vector<PictureRecord>& records);

// A tensor of embeddings and, under the name that KnownRows looks for, what they are of.
void append_with_source(std::vector<NamedTensor>& tensors, const std::string& name,
                        const at::Tensor& embedded, const at::Tensor& digests);

class KnownRows {
 public:
  // Those of `relatives` that hold embeddings of `width`; read on first use.
  KnownRows(const std::vector<Relative>& relatives, std::int64_t width, Logger& log);

  // Embeddings [N, E] of inputs with these digests (zero where the digest is): each distinct new
  // one is embedded once, by `embed_new`, which gets their positions int64 [M] and gives [M, E].
  at::Tensor embed(const at::Tensor& digests,
                   const std::function<at::Tensor(const at::Tensor& positions)>& embed_new);

  // Whether each row of the last call to `embed` was there already.
  const std::vector<bool>& was_known() const { return was_known_; }
  // "reference-0123456789abcdef, …": the artefacts that rows were taken from.
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
  std::vector<at::Tensor> tensors_;  // what the places look into
  std::unordered_map<std::string_view, Place> places_;
  std::vector<bool> was_known_;
  std::set<std::string> used_;
};

}  // namespace saferclip
