// A key hashes everything that decides an artefact's content; a recipe hashes only how a part is
// made from its input, so artefacts of different lists share it. images_key takes paths and sizes,
// because hashing the files would read them all; opening the artefact compares times and, where
// these differ, hashes. Later keys take the hash of the pictures' content.
#include "prepare/keys.h"

#include <ATen/ATen.h>

#include "prepare/artefact.h"
#include "saferclip/core/field_hash.h"

namespace saferclip {
namespace {

// Everything besides the input that an embedding of a frozen model depends on.
void add_model(Sha256& hash, const WeightsSource& source, bool exif_rotate) {
  hash.part(source.hash());
  hash_fields(hash, source.geometry);
  hash.part(decoding_recipe(source.preprocessing, exif_rotate));
}

}  // namespace

std::string artefact_key(const std::string& kind, const std::function<void(Sha256&)>& add) {
  Sha256 hash;
  hash.part(kind).part(kArtefactFormat);
  add(hash);
  return hash.hex();
}

std::string decoding_recipe(const Preprocessing& preprocessing, bool exif_rotate) {
  return artefact_key("decoding", [&](Sha256& hash) {
    hash_fields(hash, preprocessing).part(exif_rotate ? 1 : 0);
  });
}

std::string token_recipe(const Tokenizer& tokenizer) {
  return artefact_key("tokenising", [&](Sha256& hash) {
    hash_fields(hash.part(tokenizer.fingerprint()), tokenizer.spec());
  });
}

std::string embedding_recipe(const WeightsSource& source, bool exif_rotate,
                             const std::string& device) {
  return artefact_key("embedding", [&](Sha256& hash) {
    add_model(hash, source, exif_rotate);
    hash.part(device);
  });
}

std::string images_key(const PictureJob& job) {
  return artefact_key("images", [&](Sha256& hash) {
    hash.part(decoding_recipe(job.preprocessing, job.exif_rotate));
    for (const auto& column : job.columns) {
      hash.part(static_cast<std::int64_t>(column.size()));
      for (const PictureCell& cell : column) {
        hash.part(cell.file.string()).part(static_cast<std::int64_t>(stat_picture(cell.file).size));
      }
    }
  });
}

std::string tokens_key(const Tokenizer& tokenizer, const Manifest& manifest, bool needs_unsafe) {
  return artefact_key("tokens", [&](Sha256& hash) {
    hash.part(token_recipe(tokenizer)).part(needs_unsafe ? 1 : 0);
    for (const ManifestRow& row : manifest.rows) {
      hash.part(row.safe_caption).part(needs_unsafe ? row.unsafe_caption : "");
    }
  });
}

std::string reference_key(const SplitData& split, const WeightsSource& source, bool exif_rotate) {
  return artefact_key("reference", [&](Sha256& hash) {
    hash.part(split.images.content).part(split.tokens.key);
    add_model(hash, source, exif_rotate);
  });
}

std::string targets_key(const SplitData& split, const SplitData& pool,
                        const TargetsOptions& options, const std::vector<std::string>& extra,
                        const Tokenizer& tokenizer) {
  return artefact_key("targets", [&](Sha256& hash) {
    hash.part(split.reference.key).part(pool.reference.key).part(token_recipe(tokenizer));
    hash_fields(hash, options);
    hash.part(static_cast<std::int64_t>(extra.size()));
    for (const std::string& caption : extra) hash.part(caption);
    for (const SplitData* rows : {&split, &pool}) {
      hash.part("rows");
      for (const std::int64_t row : rows->good_rows) hash.part(row);
    }
  });
}

std::string anchors_key(const AnchorOptions& options, const AnchorCache& anchors,
                        const WeightsSource& source, bool exif_rotate) {
  return artefact_key("anchors", [&](Sha256& hash) {
    add_model(hash, source, exif_rotate);
    hash_fields(hash, options);
    for (const at::Tensor& tensor : {anchors.prompts, anchors.images}) {
      hash.part(tensor.defined() ? tensor.size(0) : -1);
      if (!tensor.defined()) continue;
      hash.part(
          std::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()));
    }
  });
}

}  // namespace saferclip
