#include "saferclip/prepare/prepare.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "prepare/artefact.h"
#include "prepare/keys.h"
#include "prepare/picture_rows.h"
#include "prepare/reference_rows.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/bad_rows.h"
#include "saferclip/prepare/embedding.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::vector<PictureCell> picture_column(const Manifest& manifest, fs::path ManifestRow::*member) {
  std::vector<PictureCell> column;
  column.reserve(manifest.rows.size());
  for (const ManifestRow& row : manifest.rows) column.push_back({row.*member, row.id, row.line});
  return column;
}

fs::path bad_rows_file(const fs::path& cache_dir, std::string split) {
  std::replace(split.begin(), split.end(), '/', '_');
  return cache_dir / cat("bad_rows.", split, ".json");
}

constexpr std::size_t kNamedRows = 10;

// What the tokens of a split show: captions that the context cuts, and rows whose two captions
// become the same ids.
std::vector<std::string> caption_problems(const SplitData& split, const TokenCache& tokens,
                                          const at::Tensor& safe_cut,
                                          const at::Tensor& unsafe_cut) {
  std::vector<std::string> problems;
  const at::Tensor none = at::zeros_like(safe_cut);
  const at::Tensor unsafe = unsafe_cut.defined() ? unsafe_cut : none;
  const auto count = [](const at::Tensor& flags) {
    return with_commas(flags.sum().item<std::int64_t>());
  };
  const at::Tensor any_cut = safe_cut.logical_or(unsafe);
  if (any_cut.any().item<bool>()) {
    problems.push_back(cat(split.name, ": captions longer than the context of ",
                           tokens.safe.size(1), " tokens are cut: ", count(safe_cut), " safe, ",
                           count(unsafe), " unsafe, in ", count(any_cut), " rows"));
  }
  if (!tokens.unsafe.defined()) return problems;
  std::vector<std::string> same;
  const at::Tensor is_same = tokens.safe.eq(tokens.unsafe).all(1);
  for (const std::int64_t row : split.good_rows) {
    if (is_same[row].item<bool>()) {
      same.push_back(split.manifest.rows[static_cast<std::size_t>(row)].id);
    }
  }
  if (!same.empty()) {
    problems.push_back(
        cat(split.name, ": safe and unsafe caption have the same tokens in ",
            with_commas(static_cast<std::int64_t>(same.size())),
            " rows, which teach nothing: ", join(shortened(same, kNamedRows), ", ")));
  }
  return problems;
}

std::string content_hash(const std::vector<std::vector<PictureRecord>>& records) {
  Sha256 hash;
  for (const auto& column : records) {
    for (const PictureRecord& record : column) hash.part(record.sha256);
  }
  return hash.hex();
}

}  // namespace

Preparer::Preparer(const DataOptions& data, const WeightsSource& source, const Tokenizer& tokenizer,
                   at::Device device, Logger& log, const StopFlag* stop)
    : data_(data),
      source_(source),
      tokenizer_(tokenizer),
      device_(device),
      log_(log),
      stop_(stop) {}

Preparer::~Preparer() = default;

const ClipModel& Preparer::reference() {
  if (!reference_) {
    log_.info(cat("loading the reference: ", source_.path.string()));
    reference_ = load_clip(source_, at::kFloat, device_);
    reference_hash_ = model_hash(*reference_);
  }
  return *reference_;
}

void Preparer::release_reference() {
  if (!reference_) return;
  if (model_hash(*reference_) != reference_hash_) {
    throw Error(
        "the frozen reference has changed while it was used; this is a defect, please report it",
        1);
  }
  reference_.reset();
}

at::Tensor Preparer::token_ids(const std::vector<std::string>& texts,
                               const std::string& label) const {
  const TokenRows rows = token_rows(tokenizer_, texts);
  const auto cut = rows.is_cut.sum().item<std::int64_t>();
  if (cut > 0) {
    log_.warn(cat(label, ": ", with_commas(cut), " of ",
                  with_commas(static_cast<std::int64_t>(texts.size())),
                  " texts are longer than the context of ", tokenizer_.spec().context_length,
                  " tokens and cut"));
  }
  return rows.ids;
}

SplitData Preparer::split(const std::string& name, const fs::path& file, bool needs_unsafe,
                          bool needs_reference) {
  SplitData split;
  split.name = name;
  ManifestRequest request;
  request.file = file;
  request.split = name;
  request.image_root = data_.image_root;
  request.unsafe_image_template = data_.unsafe_image_template;
  request.missing_unsafe_image = data_.missing_unsafe_image;
  request.images_outside_root = data_.images_outside_root;
  request.needs_unsafe = needs_unsafe;
  split.manifest = read_manifest(request);
  for (const std::string& note : split.manifest.notes) log_.warn(note);
  for (const std::string& note : split.manifest.left_out) log_.info(note);
  std::vector<RowProblem> problems;
  if (!split.manifest.rows.empty()) split.images = images(split, needs_unsafe, problems);
  const BadRows bad = collect_bad_rows(split.manifest, problems);
  const fs::path listed_in = bad_rows_file(data_.cache_dir, name);
  write_bad_rows(bad, listed_in);
  require_acceptable(bad, data_, listed_in, log_);
  std::set<int> bad_records;
  for (const RowProblem& problem : problems) bad_records.insert(problem.row());
  for (std::size_t i = 0; i < split.manifest.rows.size(); ++i) {
    if (!bad_records.contains(split.manifest.rows[i].record)) {
      split.good_rows.push_back(static_cast<std::int64_t>(i));
    }
  }
  if (split.good_rows.empty()) throw DataError(cat(file.string(), ": no usable row is left"));
  split.tokens = tokens(split, needs_unsafe);
  if (needs_reference) split.reference = reference_rows(split);
  std::string summary =
      cat(name, ": ", with_commas(static_cast<std::int64_t>(split.good_rows.size())), " rows");
  if (needs_unsafe && split.manifest.rows_without_unsafe_image > 0) {
    summary +=
        cat(", ", with_commas(split.manifest.rows_without_unsafe_image),
            " without an unsafe image (missing_unsafe_image: ", data_.missing_unsafe_image, ")");
  }
  log_.info(summary);
  return split;
}

ImageCache Preparer::images(const SplitData& split, bool needs_unsafe,
                            std::vector<RowProblem>& problems) {
  PictureJob job;
  job.names = {"safe"};
  job.columns = {picture_column(split.manifest, &ManifestRow::safe_image)};
  if (needs_unsafe) {
    job.names.emplace_back("unsafe");
    job.columns.push_back(picture_column(split.manifest, &ManifestRow::unsafe_image));
  }
  job.preprocessing = source_.preprocessing;
  job.exif_rotate = data_.exif_rotate;
  job.label = cat("decoding ", split.name);
  const auto [file, records] =
      open_pictures(job, data_.cache_dir, split.manifest.file.string(), log_, stop_);
  for (std::size_t column = 0; column < records.size(); ++column) {
    for (std::size_t row = 0; row < records[column].size(); ++row) {
      if (records[column][row].problem.empty()) continue;
      const ManifestRow& source = split.manifest.rows[row];
      const PictureRecord& record = records[column][row];
      problems.push_back({source.id, source.line,
                          record.sha256.empty() ? "unreadable image" : "undecodable image",
                          record.problem, source.record});
    }
  }
  ImageCache cache;
  cache.safe = file.tensor("safe");
  if (needs_unsafe) cache.unsafe = file.tensor("unsafe");
  cache.valid = file.tensor("valid");
  cache.safe_digests = picture_digests(records[0]);
  if (needs_unsafe) cache.unsafe_digests = picture_digests(records[1]);
  cache.content = content_hash(records);
  return cache;
}

TokenCache Preparer::tokens(const SplitData& split, bool needs_unsafe) const {
  std::vector<std::string> safe, unsafe;
  for (const ManifestRow& row : split.manifest.rows) {
    safe.push_back(row.safe_caption);
    unsafe.push_back(row.unsafe_caption);
  }
  ArtefactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "tokens";
  request.key = tokens_key(tokenizer_, split.manifest, needs_unsafe);
  request.inputs = {{"manifest", split.manifest.file.string()}};
  request.build = [&](const fs::path& folder, const std::vector<Relative>&) {
    std::vector<NamedTensor> tensors;
    const auto add = [&](const std::string& name, const std::vector<std::string>& captions) {
      TokenRows rows = token_rows(tokenizer_, captions);
      tensors.push_back({name, std::move(rows.ids)});
      tensors.push_back({name + "_cut", std::move(rows.is_cut)});
    };
    add("safe", safe);
    if (needs_unsafe) add("unsafe", unsafe);
    write_safetensors(folder / kArtefactData, tensors);
  };
  const SafetensorsFile file = open_or_build(request, log_, stop_);
  TokenCache cache{file.tensor("safe"), {}, tokenizer_.spec().is_padded, request.key};
  if (needs_unsafe) cache.unsafe = file.tensor("unsafe");
  for (const std::string& line :
       caption_problems(split, cache, file.tensor("safe_cut"),
                        needs_unsafe ? file.tensor("unsafe_cut") : at::Tensor())) {
    log_.warn(line);
  }
  return cache;
}

ReferenceRequest Preparer::reference_request(const std::string& label) {
  return {source_, device_, [this]() -> const ClipModel& { return reference(); }, label, stop_};
}

ReferenceCache Preparer::reference_rows(const SplitData& split) {
  ArtefactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "reference";
  request.key = reference_key(split, source_, data_.exif_rotate);
  request.inputs = {{"manifest", split.manifest.file.string()}, {"weights", source_.path.string()}};
  request.recipe = embedding_recipe(source_, data_.exif_rotate, device_text(device_));
  request.build = [&](const fs::path& folder, const std::vector<Relative>& relatives) {
    ReferenceRows rows(reference_request(cat("reference, ", split.name)), relatives, log_);
    rows.add_captions("safe_text", split.tokens.safe);
    rows.add_captions("unsafe_text", split.tokens.unsafe);
    rows.add_pictures("safe_image", split.images.safe, split.images.safe_digests);
    rows.add_pictures("unsafe_image", split.images.unsafe, split.images.unsafe_digests);
    write_safetensors(folder / kArtefactData, rows.finish());
  };
  const SafetensorsFile file = open_or_build(request, log_, stop_);
  return {file.tensor("safe_text"), file.tensor("safe_image"), file.tensor("unsafe_text"),
          file.tensor("unsafe_image"), request.key};
}

OpenPictures Preparer::open_files(const std::vector<fs::path>& files, const std::string& label) {
  PictureJob job;
  job.names = {"images"};
  job.columns.resize(1);
  for (const fs::path& file : files) {
    if (file.empty() || !is_file(file)) throw DataError(cat(file.string(), ": no such file"));
    job.columns[0].push_back({file, file.filename().string(), 0});
  }
  job.preprocessing = source_.preprocessing;
  job.exif_rotate = data_.exif_rotate;
  job.label = label;
  OpenPictures opened = open_pictures(job, data_.cache_dir, label, log_, stop_);
  std::vector<std::string> problems;
  for (const PictureRecord& record : opened.records[0]) {
    if (!record.problem.empty()) problems.push_back(record.problem);
  }
  if (!problems.empty())
    throw DataError(join_problems(label + ": pictures cannot be used:", problems));
  return opened;
}

at::Tensor Preparer::pictures(const std::vector<fs::path>& files, const std::string& label) {
  return open_files(files, label).file.tensor("images");
}

}  // namespace saferclip
