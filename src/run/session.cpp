// Opens weights and tokenizer and checks that they fit: family, vocabulary size, and the token at
// which the text tower pools. A wrong tokenizer would not fail later but embed other texts, so a
// mismatch is an error here. Options that need the weights to be judged are checked here too,
// before any preparation.
#include "saferclip/run/session.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <map>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/trained.h"
#include "saferclip/nn/precision.h"
#include "saferclip/prepare/reference_scale.h"

namespace saferclip {
namespace fs = std::filesystem;

fs::path clip_vocabulary_path() {
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path();
  const fs::path prefix = beside.parent_path().parent_path();  // of PREFIX/lib/saferclip
  for (const fs::path& folder : {beside / "data", prefix / "share" / "saferclip"}) {
    fs::path file = folder / "bpe_simple_vocab_16e6.txt.gz";
    if (fs::exists(file)) return file;
  }
  throw DataError(
      cat("CLIP's vocabulary was not found in ", (beside / "data").string(), " or ",
          (prefix / "share" / "saferclip").string(),
          "; install saferclip again (in a clone: scripts/fetch_vocabulary with the first of these "
          "folders), or set model.tokenizer to a folder with vocab.json and merges.txt"));
}

namespace {

// Throws ConfigError if the tokenizer, called `name` in messages, does not fit the model.
void require_fitting(const TextSpec& spec, const WeightsSource& source, const std::string& name) {
  const bool is_siglip = source.text.is_padded;
  if (spec.is_padded != is_siglip) {
    throw ConfigError(cat("model.tokenizer: ", name, " is a ", spec.is_padded ? "SigLIP" : "CLIP",
                          " tokenizer, but the model is a ", is_siglip ? "SigLIP" : "CLIP",
                          "; set model.tokenizer to the model's own"));
  }
  // The embedding table may have rows that no vocabulary entry uses.
  if (spec.vocab_size > source.text.vocab_size) {
    throw ConfigError(cat("model.tokenizer: ", name, " has ", spec.vocab_size,
                          " entries, but the model has ", source.text.vocab_size,
                          "; set model.tokenizer to the folder of the model's own tokenizer"));
  }
  if (is_siglip) return;
  const std::int64_t pooled = source.geometry.pooled_id;
  if (pooled >= 0 && spec.eos_id != pooled) {
    throw ConfigError(cat("model.tokenizer: ", name, " ends captions with id ", spec.eos_id,
                          ", but the model pools the position of id ", pooled,
                          " (eos_token_id in its configuration); correct one of them"));
  }
  if (pooled < 0 && std::max(spec.pad_id, spec.bos_id) > spec.eos_id) {
    throw ConfigError(
        cat("model.tokenizer: ", name, " has pad_token ", spec.pad_id, ", bos_token ", spec.bos_id,
            " and eos_token ", spec.eos_id,
            ", but the model pools the largest id of a caption, which must be eos_token; "
            "set eos_token_id in the model's configuration to the id of the end token"));
  }
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const ModelOptions& options,
                                          const WeightsSource& source) {
  const TextCleaning cleaning = options.text_clean.value_or(source.text.cleaning);
  const std::int64_t context = source.text.context_length;
  fs::path place;
  if (options.tokenizer == "auto") {
    place = source.tokenizer_folder;
  } else if (options.tokenizer != "clip") {
    place = options.tokenizer;
  }
  const std::string name = place.empty() ? "CLIP's vocabulary" : place.string();
  std::unique_ptr<Tokenizer> tokenizer;
  if (place.empty()) {
    if (source.text.is_padded) {
      throw ConfigError(
          cat("model.tokenizer: ", source.path.string(),
              " is a SigLIP model without tokenizer files next to it; set model.tokenizer "
              "to its SentencePiece model (spiece.model, tokenizer.model)"));
    }
    tokenizer = load_clip_tokenizer(clip_vocabulary_path(), context, cleaning);
  } else {
    tokenizer = load_tokenizer(place, context, cleaning);
  }
  require_fitting(tokenizer->spec(), source, name);
  return tokenizer;
}

Session open_session(RunConfig config, const ComputeOptions& compute, Logger& log) {
  Session session;
  session.device = parse_device(compute.device, compute.local_rank);
  session.local_rank = compute.local_rank;
  session.processes = compute.processes;
  if (compute.threads > 0) at::set_num_threads(compute.threads);
  if (config.train.deterministic) at::globalContext().setDeterministicAlgorithms(true, false);
  session.source = open_weights(config.model, static_cast<std::uint64_t>(config.train.seed));
  for (const std::string& note : session.source.notes) log.warn(note);
  require_applicable(config.adapter, session.source.geometry);
  session.tokenizer = open_tokenizer(config.model, session.source);
  const TextSpec& spec = session.tokenizer->spec();
  session.source.text.bos_id = spec.bos_id;
  session.source.text.eos_id = spec.eos_id;
  session.source.text.pad_id = spec.pad_id;
  session.config = std::move(config);
  for (const auto& [key, is_on] :
       {std::pair("train.tf32", session.config.train.tf32),
        std::pair("data.reference_tf32", session.config.data.reference_tf32)}) {
    if (!is_on || has_tf32(session.device)) continue;
    log.warn(cat(key, ": only CUDA cards of compute capability 8.0 or more have TF32; ",
                 session.device.str(), " computes in fp32"));
  }
  // Throws now rather than after hours of preparation.
  reference_logit_bias(session.config.objective, session.source);
  return session;
}

Session open_session(ModelOptions model, const ComputeOptions& compute, Logger& log) {
  RunConfig config;
  config.model = std::move(model);
  return open_session(std::move(config), compute, log);
}

Precision precision_on(at::Device device, Precision precision) {
  if (precision == Precision::kFp16) return device.is_cuda() ? precision : Precision::kFp32;
  return has_fast_bf16(device) ? precision : Precision::kFp32;
}

}  // namespace saferclip
