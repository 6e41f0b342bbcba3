// A split is its manifest and three artifacts (pictures, tokens, reference embeddings), each opened
// or built. Rows with unreadable pictures keep their places, so that row i of every tensor is row i
// of the manifest; `good_rows` lists the others. The frozen reference is loaded only when something
// has to be embedded, and its hash is compared on release: nothing may have changed it. Targets and
// anchors are in targets.cpp.
#include "saferclip/prepare/prepare.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

#include "prepare/artifact.h"
#include "prepare/cache_owners.h"
#include "prepare/keys.h"
#include "prepare/picture_rows.h"
#include "prepare/reference_rows.h"
#include "prepare/split_notes.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/bad_rows.h"
#include "saferclip/prepare/embedding.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::vector<PictureCell> picture_column(const Manifest& manifest,
                                        StoredPicture ManifestRow::*member) {
  std::vector<PictureCell> column;
  column.reserve(manifest.rows.size());
  for (const ManifestRow& row : manifest.rows) column.push_back({row.*member, row.id, row.line});
  return column;
}

fs::path bad_rows_file(const fs::path& cache_dir, std::string split) {
  std::replace(split.begin(), split.end(), '/', '_');
  return cache_dir / cat("bad_rows.", split, ".json");
}

// For each row, the first row whose picture file has the same bytes; -1: no picture.
std::vector<std::int64_t> shared_pictures(const std::vector<PictureRecord>& records) {
  std::unordered_map<std::string_view, std::int64_t> first_rows;
  std::vector<std::int64_t> pictures;
  for (const PictureRecord& record : records) {
    const auto row = static_cast<std::int64_t>(pictures.size());
    const bool is_there = !record.sha256.empty() && record.problem.empty();
    pictures.push_back(is_there ? first_rows.emplace(record.sha256, row).first->second : -1);
  }
  return pictures;
}

// One process decodes while the others of its machine wait.
int decoding_threads(const Processes& processes) {
  const std::vector<std::string> hosts = processes.hosts();
  const auto here = std::ranges::count(hosts, hosts[static_cast<std::size_t>(processes.rank())]);
  return at::get_num_threads() * static_cast<int>(here);
}

void require_pictures(const std::string& label, std::size_t count,
                      const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  throw DataError(
      join_problems(cat(label, ": ", problems.size(), " of ", count, " images cannot be used:"),
                    shortened(problems, 10)));
}

std::string content_hash(const std::vector<std::vector<PictureRecord>>& records) {
  Sha256 hash;
  for (const auto& column : records) {
    for (const PictureRecord& record : column) hash.add(record.sha256);
  }
  return hash.hex();
}

}  // namespace

Preparer::Preparer(const DataOptions& data, const WeightsSource& source, const Tokenizer& tokenizer,
                   at::Device device, Logger& log, const StopFlag* stop, Processes processes)
    : data_(data),
      source_(source),
      tokenizer_(tokenizer),
      device_(device),
      log_(log),
      stop_(stop),
      processes_(std::move(processes)) {}

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
    throw Error("the frozen reference model changed while in use; this is a bug, please report it",
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
                  " tokens and were truncated"));
  }
  return rows.ids;
}

SplitData Preparer::split(const SplitSource& source, const SplitNeeds& needs) {
  SplitData split;
  split.name = source.name;
  // A fault in the file is one process's to report.
  owners_first("manifest", [&] {
    const Progress reading(log_, cat("reading ", source.name));
    split.manifest = read_manifest(manifest_request(data_, source, needs.unsafe));
  });
  for (const std::string& note : split.manifest.notes) log_.warn(note);
  for (const std::string& note : split.manifest.left_out) log_.info(note);
  std::vector<RowProblem> problems;
  if (!split.manifest.rows.empty()) split.images = images(split, problems);
  const BadRows bad = collect_bad_rows(split.manifest, problems);
  const fs::path listed_in = bad_rows_file(data_.cache_dir, split.name);
  owners_first("rows", [&] {
    if (builders().owners.is_owner()) write_bad_rows(bad, listed_in);
    require_acceptable(bad, data_, listed_in, log_);
  });
  std::set<int> bad_records;
  for (const RowProblem& problem : problems) bad_records.insert(problem.row());
  for (std::size_t i = 0; i < split.manifest.rows.size(); ++i) {
    if (!bad_records.contains(split.manifest.rows[i].record)) {
      split.good_rows.push_back(static_cast<std::int64_t>(i));
    }
  }
  if (split.good_rows.empty())
    throw DataError(cat(source.file.string(), ": no usable rows are left"));
  split.tokens = tokens(split);
  if (needs.reference) split.reference = reference_rows(split);
  std::string summary = cat(split.name, ": ", rows_and_pictures(split));
  if (split.manifest.has_unsafe && split.manifest.rows_without_unsafe_image > 0) {
    summary +=
        cat(", ", with_commas(split.manifest.rows_without_unsafe_image),
            " without an unsafe image (missing_unsafe_image: ", data_.missing_unsafe_image, ")");
  }
  log_.info(summary);
  return split;
}

ImageCache Preparer::images(const SplitData& split, std::vector<RowProblem>& problems) {
  const bool has_unsafe = split.manifest.has_unsafe;
  PictureJob job;
  job.names = {"safe"};
  job.columns = {picture_column(split.manifest, &ManifestRow::safe_image)};
  if (has_unsafe) {
    job.names.emplace_back("unsafe");
    job.columns.push_back(picture_column(split.manifest, &ManifestRow::unsafe_image));
  }
  job.preprocessing = source_.preprocessing;
  job.exif_rotate = data_.exif_rotate;
  job.label = cat("decoding ", split.name);
  job.threads = decoding_threads(processes_);
  const auto [file, records] =
      open_pictures(job, data_.cache_dir, split.manifest.file.string(), builders(), log_, stop_);
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
  cache.safe_picture = shared_pictures(records[0]);
  if (has_unsafe) {
    cache.unsafe = file.tensor("unsafe");
    cache.unsafe_picture = shared_pictures(records[1]);
  }
  cache.valid = file.tensor("valid");
  cache.safe_digests = picture_digests(records[0]);
  if (has_unsafe) cache.unsafe_digests = picture_digests(records[1]);
  cache.content = content_hash(records);
  return cache;
}

TokenCache Preparer::tokens(const SplitData& split) const {
  const bool has_unsafe = split.manifest.has_unsafe;
  std::vector<std::string> safe, unsafe;
  for (const ManifestRow& row : split.manifest.rows) {
    safe.push_back(row.safe_caption);
    unsafe.push_back(row.unsafe_caption);
  }
  ArtifactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "tokens";
  request.key = tokens_key(tokenizer_, split.manifest, has_unsafe);
  request.inputs = {{"manifest", split.manifest.file.string()}};
  request.build = [&](const fs::path& folder, const std::vector<Relative>&,
                      const std::vector<NamedTensor>&) {
    const Progress working(log_, cat("tokenizing ", split.name));
    std::vector<NamedTensor> tensors;
    const auto add = [&](const std::string& name, const std::vector<std::string>& captions) {
      TokenRows rows = token_rows(tokenizer_, captions);
      tensors.push_back({name, std::move(rows.ids)});
      tensors.push_back({name + "_cut", std::move(rows.is_cut)});
    };
    add("safe", safe);
    if (has_unsafe) add("unsafe", unsafe);
    write_safetensors(folder / kArtifactData, tensors);
  };
  const SafetensorsFile file = open_or_build(request, builders(), log_, stop_);
  TokenCache cache{file.tensor("safe"),
                   {},
                   tokenizer_.spec().is_padded,
                   source_.geometry.pooled_id,
                   request.key};
  if (has_unsafe) cache.unsafe = file.tensor("unsafe");
  for (const std::string& line :
       caption_problems(split, cache, file.tensor("safe_cut"),
                        has_unsafe ? file.tensor("unsafe_cut") : at::Tensor())) {
    log_.warn(line);
  }
  return cache;
}

ReferenceRequest Preparer::reference_request(const std::string& label, const Builders& builders) {
  return {source_,   device_, [this]() -> const ClipModel& { return reference(); }, label, stop_,
          is_tf32(), builders};
}

const Builders& Preparer::builders() const {
  if (!builders_) {
    builders_ = std::make_unique<Builders>(processes_, CacheOwners(processes_, data_.cache_dir));
    builders_->opened = &artifacts_;
  }
  return *builders_;
}

void Preparer::owners_first(const std::string& what, const std::function<void()>& work) const {
  const bool is_owner = builders().owners.is_owner();
  if (is_owner) work();
  processes_.barrier(what, {}, stop_);
  if (!is_owner) work();
}

bool Preparer::is_tf32() const { return data_.reference_tf32 && device_.is_cuda(); }

ReferenceCache Preparer::reference_rows(const SplitData& split) {
  const bool has_unsafe = split.manifest.has_unsafe;
  ArtifactRequest request;
  request.cache_dir = data_.cache_dir;
  request.kind = "reference";
  request.key = reference_key(split, source_, data_.exif_rotate, is_tf32());
  request.inputs = {{"manifest", split.manifest.file.string()}, {"weights", source_.path.string()}};
  request.recipe = embedding_recipe(source_, data_.exif_rotate, device_text(device_, is_tf32()));
  request.embed = [&](const Builders& builders, const std::vector<Relative>& relatives) {
    ReferenceRows rows(reference_request(cat("reference, ", split.name), builders), relatives,
                       log_);
    rows.add_captions("safe_text", split.tokens.safe);
    rows.add_pictures("safe_image", split.images.safe, split.images.safe_digests);
    if (has_unsafe) {
      rows.add_captions("unsafe_text", split.tokens.unsafe);
      rows.add_pictures("unsafe_image", split.images.unsafe, split.images.unsafe_digests);
    }
    return rows.finish();
  };
  request.build = write_embedded;
  const SafetensorsFile file = open_or_build(request, builders(), log_, stop_);
  const auto unsafe = [&](const char* name) {
    return has_unsafe ? file.tensor(name) : at::Tensor();
  };
  return {file.tensor("safe_text"), file.tensor("safe_image"), unsafe("unsafe_text"),
          unsafe("unsafe_image"), request.key};
}

OpenPictures Preparer::open_files(const std::vector<fs::path>& files, const std::string& label) {
  PictureJob job;
  job.names = {"images"};
  job.columns.resize(1);
  std::vector<std::string> problems;
  for (const fs::path& file : files) {
    if (file.empty() || !is_file(file)) problems.push_back(cat(file.string(), ": no such file"));
    job.columns[0].push_back({file, file.filename().string(), 0});
  }
  require_pictures(label, files.size(), problems);
  job.preprocessing = source_.preprocessing;
  job.exif_rotate = data_.exif_rotate;
  job.label = label;
  job.threads = decoding_threads(processes_);
  OpenPictures opened = open_pictures(job, data_.cache_dir, label, builders(), log_, stop_);
  for (const PictureRecord& record : opened.records[0]) {
    if (!record.problem.empty()) problems.push_back(record.problem);
  }
  require_pictures(label, files.size(), problems);
  return opened;
}

at::Tensor Preparer::pictures(const std::vector<fs::path>& files, const std::string& label) {
  return open_files(files, label).file.tensor("images");
}

}  // namespace saferclip
