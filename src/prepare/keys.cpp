// A key hashes everything that decides an artifact's content; a recipe hashes only how a part is
// made from its input, so artifacts of different lists share it. images_key takes paths and sizes,
// because hashing the files would read them all; opening the artifact compares times and, where
// these differ, hashes. Later keys take the hash of the pictures' content.
#include "prepare/keys.h"

#include <ATen/ATen.h>

#include "prepare/artifact.h"
#include "saferclip/core/field_hash.h"

namespace saferclip {
namespace {

// Everything besides the input that an embedding of a frozen model depends on.
void add_model(Sha256& hash, const WeightsSource& source, bool exif_rotate,
               const std::string& weights) {
  hash.add(weights);
  hash_fields(hash, source.geometry);
  hash.add(decoding_recipe(source.preprocessing, exif_rotate));
}

void add_model(Sha256& hash, const WeightsSource& source, bool exif_rotate) {
  add_model(hash, source, exif_rotate, source.hash());
}

}  // namespace

std::string artifact_key(const std::string& kind, const std::function<void(Sha256&)>& add) {
  Sha256 hash;
  hash.add(kind).add(kArtifactFormat);
  add(hash);
  return hash.hex();
}

std::string decoding_recipe(const Preprocessing& preprocessing, bool exif_rotate) {
  return artifact_key(
      "decoding", [&](Sha256& hash) { hash_fields(hash, preprocessing).add(exif_rotate ? 1 : 0); });
}

std::string token_recipe(const Tokenizer& tokenizer) {
  return artifact_key("tokenising", [&](Sha256& hash) {
    hash_fields(hash.add(tokenizer.fingerprint()), tokenizer.spec());
  });
}

std::string embedding_recipe(const WeightsSource& source, bool exif_rotate,
                             const std::string& weights, const std::string& device) {
  return artifact_key("embedding", [&](Sha256& hash) {
    add_model(hash, source, exif_rotate, weights);
    hash.add(device);
  });
}

std::string embedding_recipe(const WeightsSource& source, bool exif_rotate,
                             const std::string& device) {
  return embedding_recipe(source, exif_rotate, source.hash(), device);
}

std::string images_key(const PictureJob& job) {
  return artifact_key("images", [&](Sha256& hash) {
    hash.add(decoding_recipe(job.preprocessing, job.exif_rotate));
    for (const auto& column : job.columns) {
      hash.add(static_cast<std::int64_t>(column.size()));
      for (const PictureCell& cell : column) {
        hash.add(cell.file.name()).add(static_cast<std::int64_t>(stat_picture(cell.file).size));
      }
    }
  });
}

std::string folder_key(const std::vector<std::string>& contents, const WeightsSource& source,
                       bool exif_rotate, const std::string& weights) {
  return artifact_key("folder", [&](Sha256& hash) {
    for (const std::string& content : contents) hash.add(content);
    add_model(hash, source, exif_rotate, weights);
  });
}

std::string tokens_key(const Tokenizer& tokenizer, const Manifest& manifest, bool needs_unsafe) {
  return artifact_key("tokens", [&](Sha256& hash) {
    hash.add(token_recipe(tokenizer)).add(needs_unsafe ? 1 : 0);
    for (const ManifestRow& row : manifest.rows) {
      hash.add(row.safe_caption).add(needs_unsafe ? row.unsafe_caption : "");
    }
  });
}

std::string reference_key(const SplitData& split, const WeightsSource& source, bool exif_rotate,
                          bool is_tf32) {
  return artifact_key("reference", [&](Sha256& hash) {
    hash.add(split.images.content).add(split.tokens.key);
    add_model(hash, source, exif_rotate);
    if (is_tf32) hash.add("tf32");
  });
}

std::string targets_key(const SplitData& split, const SplitData& pool,
                        const TargetsOptions& options, const std::vector<std::string>& extra,
                        const Tokenizer& tokenizer) {
  return artifact_key("targets", [&](Sha256& hash) {
    hash.add(split.reference.key).add(pool.reference.key).add(token_recipe(tokenizer));
    hash_fields(hash, options);
    hash.add(static_cast<std::int64_t>(extra.size()));
    for (const std::string& caption : extra) hash.add(caption);
    for (const SplitData* rows : {&split, &pool}) {
      hash.add("rows");
      for (const std::int64_t row : rows->good_rows) hash.add(row);
    }
  });
}

std::string anchors_key(const AnchorOptions& options, const AnchorCache& anchors,
                        const WeightsSource& source, bool exif_rotate, bool is_tf32) {
  return artifact_key("anchors", [&](Sha256& hash) {
    add_model(hash, source, exif_rotate);
    if (is_tf32) hash.add("tf32");
    hash_fields(hash, options);
    for (const at::Tensor& tensor : {anchors.prompts, anchors.images}) {
      hash.add(tensor.defined() ? tensor.size(0) : -1);
      if (!tensor.defined()) continue;
      hash.add(
          std::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()));
    }
  });
}

}  // namespace saferclip
