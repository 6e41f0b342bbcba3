// Builds what training and evaluation read: decoded pictures, token ids, embeddings of the frozen
// reference, nearest-safe targets, anchors. Each artefact has a key that chains the keys of what it
// was made from; what is there with the right key is opened, the rest is made, under a lock.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/caches.h"
#include "saferclip/data/data_options.h"
#include "saferclip/data/split_source.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/weights/weights.h"
#include "saferclip/objective/objective_options.h"
#include "saferclip/text/tokenizer.h"

namespace saferclip {

struct OpenPictures;
struct ReferenceRequest;

class Preparer {
 public:
  // All references must outlive the preparer. `stop` is asked between pieces of
  // work.
  Preparer(const DataOptions& data, const WeightsSource& source, const Tokenizer& tokenizer,
           at::Device device, Logger& log, const StopFlag* stop = nullptr);
  ~Preparer();

  // Manifest, pictures, ids and, with `needs_reference`, reference embeddings of one split, as far
  // as it has the two halves. Throws DataError (bad rows, unreadable pictures) and Interrupted.
  SplitData split(const SplitSource& source, UnsafeHalf unsafe, bool needs_reference);

  // Targets of a split's rows among the captions of `pool` (the training split; may be the same)
  // and the extra captions of the options.
  TargetCache targets(const SplitData& split, const SplitData& pool, const TargetsOptions& options);

  AnchorCache anchors(const AnchorOptions& options);

  // Decoded and resized pictures of files, in the order given, kept as an artefact too. uint8
  // [N, S, S, 3]. Unreadable files are a DataError that counts them and names the first.
  at::Tensor pictures(const std::vector<std::filesystem::path>& files, const std::string& label);

  // Token ids int32 [N, C] of texts, padded with 0. Warns of those that the context cuts.
  at::Tensor token_ids(const std::vector<std::string>& texts, const std::string& label) const;

  // For what embeds or measures beside it.
  const StopFlag* stop() const { return stop_; }

  // The frozen reference, loaded on first use.
  const ClipModel& reference();
  // Frees it; its hash is compared with the one it had after loading. Throws Error when they
  // differ.
  void release_reference();

 private:
  // What `pictures` opens, with the records of the files.
  OpenPictures open_files(const std::vector<std::filesystem::path>& files,
                          const std::string& label);
  ImageCache images(const SplitData& split, std::vector<RowProblem>& problems);
  TokenCache tokens(const SplitData& split) const;
  ReferenceCache reference_rows(const SplitData& split);
  ReferenceRequest reference_request(const std::string& label);

  const DataOptions& data_;
  const WeightsSource& source_;
  const Tokenizer& tokenizer_;
  at::Device device_;
  Logger& log_;
  const StopFlag* stop_;
  std::optional<ClipModel> reference_;
  std::string reference_hash_;
};

}  // namespace saferclip
