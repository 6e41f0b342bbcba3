// Builds what training and evaluation read: decoded pictures, token ids, embeddings of the frozen
// reference, nearest-safe targets, anchors. An artifact's key chains the keys of its inputs; an
// artifact with the right key is opened, any other is built under a lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/caches.h"
#include "saferclip/data/data_options.h"
#include "saferclip/data/split_source.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/model/clip_model.h"
#include "saferclip/objective/objective_options.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

struct Builders;
struct OpenPictures;
struct ReferenceRequest;

// What of a split is needed.
struct SplitNeeds {
  UnsafeHalf unsafe = UnsafeHalf::kNone;
  bool reference = false;  // embeddings of the frozen reference
};

// What a preparer opened, and whether it had to build it.
struct PreparedArtifact {
  std::string kind;
  std::filesystem::path folder;
  std::int64_t rows = 0;  // of its first tensor
  bool is_built = false;  // by this process, not found complete
};

class Preparer {
 public:
  // All references must outlive the preparer. `stop` is checked between pieces of work. Several
  // processes make the same calls in the same order and share the work; each gets the whole.
  Preparer(const DataOptions& data, const WeightsSource& source, const Tokenizer& tokenizer,
           at::Device device, Logger& log, const StopFlag* stop = nullptr,
           Processes processes = {});
  ~Preparer();

  // Manifest, pictures, ids and reference embeddings of one split, for each half that it has.
  // Throws DataError (bad rows, unreadable pictures) and Interrupted.
  SplitData split(const SplitSource& source, const SplitNeeds& needs);

  // The targets of a split's rows among the captions of `pool` (the training split; may be `split`
  // itself) and options.extra_captions.
  TargetCache targets(const SplitData& split, const SplitData& pool, const TargetsOptions& options);

  AnchorCache anchors(const AnchorOptions& options);

  // Decoded and resized pictures of files, in the given order, uint8 [N, S, S, 3]; kept as an
  // artifact. Throws DataError, which counts the unreadable files and names the first.
  at::Tensor pictures(const std::vector<std::filesystem::path>& files, const std::string& label);

  // Token ids int32 [N, C] of texts, padded with 0. Warns about texts that the context cuts.
  at::Tensor token_ids(const std::vector<std::string>& texts, const std::string& label) const;

  // What the calls so far opened, in their order, each once.
  const std::vector<PreparedArtifact>& artifacts() const { return artifacts_; }

  // For callers that embed or measure on their own.
  const StopFlag* stop() const { return stop_; }
  const Processes& processes() const { return processes_; }

  // The frozen reference, loaded on first use.
  const ClipModel& reference();
  // Frees it. Throws Error when its hash is no longer the one after loading.
  void release_reference();

 private:
  // The artifact behind `pictures`, with the records of the files.
  OpenPictures open_files(const std::vector<std::filesystem::path>& files,
                          const std::string& label);
  ImageCache images(const SplitData& split, std::vector<RowProblem>& problems);
  TokenCache tokens(const SplitData& split) const;
  ReferenceCache reference_rows(const SplitData& split);
  ReferenceRequest reference_request(const std::string& label, const Builders& builders);
  const Builders& builders() const;
  // Runs `work` in the processes that own a cache folder, then in the others.
  void owners_first(const std::string& what, const std::function<void()>& work) const;
  bool is_tf32() const;  // whether the reference's products are

  const DataOptions& data_;
  const WeightsSource& source_;
  const Tokenizer& tokenizer_;
  at::Device device_;
  Logger& log_;
  const StopFlag* stop_;
  Processes processes_;
  mutable std::unique_ptr<Builders> builders_;  // made when it is first needed
  std::optional<ClipModel> reference_;
  std::string reference_hash_;
  mutable std::vector<PreparedArtifact> artifacts_;
};

}  // namespace saferclip
