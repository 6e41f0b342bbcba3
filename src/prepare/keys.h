// Keys of cache artifacts. Each chains the keys of the artifact's inputs. Options are hashed by
// their field lists, so a new field changes the key with no change here.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "prepare/picture_rows.h"
#include "saferclip/core/hash.h"
#include "saferclip/data/caches.h"
#include "saferclip/objective/objective_options.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Hashes the kind and the format version; `add` hashes the rest.
std::string artifact_key(const std::string& kind, const std::function<void(Sha256&)>& add);

// How the bytes of a picture file become pixels.
std::string decoding_recipe(const Preprocessing& preprocessing, bool exif_rotate);
// How captions become ids.
std::string token_recipe(const Tokenizer& tokenizer);
// How ids and decoded pictures become embeddings: weights, geometry, decoding, and the device,
// because products differ between devices in their last bits.
std::string embedding_recipe(const WeightsSource& source, bool exif_rotate,
                             const std::string& device);

// The same of other weights of the source's geometry: `weights` is their hash.
std::string embedding_recipe(const WeightsSource& source, bool exif_rotate,
                             const std::string& weights, const std::string& device);

std::string images_key(const PictureJob& job);
// Embeddings of picture files with these SHA-256; `weights` as for embedding_recipe.
std::string folder_key(const std::vector<std::string>& contents, const WeightsSource& source,
                       bool exif_rotate, const std::string& weights);
std::string tokens_key(const Tokenizer& tokenizer, const Manifest& manifest, bool needs_unsafe);
// Without the device: a cache may move to another machine. `is_tf32`: its products are less exact.
std::string reference_key(const SplitData& split, const WeightsSource& source, bool exif_rotate,
                          bool is_tf32);
// `extra`: the captions of options.extra_captions.
std::string targets_key(const SplitData& split, const SplitData& pool,
                        const TargetsOptions& options, const std::vector<std::string>& extra,
                        const Tokenizer& tokenizer);
std::string anchors_key(const AnchorOptions& options, const AnchorCache& anchors,
                        const WeightsSource& source, bool exif_rotate, bool is_tf32);

}  // namespace saferclip
