// Beside each tensor of embeddings an artifact stores `<name>.source`, the SHA-256 of what each row
// was made from. A row is looked up by that digest in all artifacts of the recipe and copied; the
// rest is embedded, equal inputs once. A digest of zeros means that there is no input, and the row
// stays zero. An artifact's checksum is compared before its first row is taken.
#include "prepare/known_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::int64_t kDigest = 32;  // bytes
constexpr const char* kSource = ".source";

// 64 hexadecimal digits to 32 bytes.
void write_digest(const std::string& hex, std::uint8_t* target) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(kDigest); ++i)
    target[i] = static_cast<std::uint8_t>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
}

std::string_view digest_at(const at::Tensor& digests, std::int64_t row) {
  return {static_cast<const char*>(digests.const_data_ptr()) + row * kDigest,
          static_cast<std::size_t>(kDigest)};
}

bool is_zero(std::string_view digest) {
  return std::all_of(digest.begin(), digest.end(), [](char c) { return c == 0; });
}

}  // namespace

at::Tensor row_digests(const at::Tensor& ids) {
  const at::Tensor flat = ids.contiguous();
  at::Tensor digests = at::empty({flat.size(0), kDigest}, at::kByte);
  const auto* data = static_cast<const char*>(flat.const_data_ptr());
  const std::size_t bytes =
      flat.size(0) == 0 ? 0 : flat.nbytes() / static_cast<std::size_t>(flat.size(0));
  for (std::int64_t i = 0; i < flat.size(0); ++i) {
    write_digest(sha256_hex({data + static_cast<std::size_t>(i) * bytes, bytes}),
                 digests.mutable_data_ptr<std::uint8_t>() + i * kDigest);
  }
  return digests;
}

at::Tensor picture_digests(const std::vector<PictureRecord>& records) {
  at::Tensor digests = at::zeros({static_cast<std::int64_t>(records.size()), kDigest}, at::kByte);
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i].sha256.empty() || !records[i].problem.empty()) continue;
    write_digest(records[i].sha256,
                 digests.mutable_data_ptr<std::uint8_t>() + static_cast<std::int64_t>(i) * kDigest);
  }
  return digests;
}

void append_with_source(std::vector<NamedTensor>& tensors, const std::string& name,
                        const at::Tensor& embedded, const at::Tensor& digests) {
  tensors.push_back({name, embedded});
  tensors.push_back({name + kSource, digests});
}

KnownRows::KnownRows(const std::vector<Relative>& relatives, std::int64_t width, Logger& log)
    : width_(width), log_(log) {
  for (const Relative& relative : relatives) {
    donors_.push_back({relative});
    try {
      read(donors_.size() - 1);
    } catch (const Error&) {
      // Removed or replaced meanwhile: nothing can be copied from it.
    }
  }
}

void KnownRows::read(std::size_t donor) {
  const auto file = SafetensorsFile::open(donors_[donor].relative.folder / kArtifactData);
  for (const auto& [name, entry] : file.entries()) {
    if (!name.ends_with(kSource)) continue;
    const std::string of = name.substr(0, name.size() - std::strlen(kSource));
    if (!file.contains(of)) continue;
    const at::Tensor digests = file.tensor(name);
    const at::Tensor rows = file.tensor(of);
    const bool fits = digests.scalar_type() == at::kByte && digests.dim() == 2 &&
                      digests.size(1) == kDigest && rows.scalar_type() == at::kFloat &&
                      rows.dim() == 2 && rows.size(1) == width_ && rows.size(0) == digests.size(0);
    if (!fits) continue;
    tensors_.push_back(digests);
    tensors_.push_back(rows);
    for (std::int64_t i = 0; i < rows.size(0); ++i) {
      places_.emplace(digest_at(digests, i),
                      Place{donor, rows.const_data_ptr<float>() + i * width_});
    }
  }
}

const float* KnownRows::find(std::string_view digest) {
  const auto found = places_.find(digest);
  if (found == places_.end()) return nullptr;
  Donor& donor = donors_[found->second.donor];
  if (!donor.is_checked) {
    donor.is_checked = true;
    donor.is_good = is_undamaged(donor.relative, log_);
    if (donor.is_good) used_.insert(donor.relative.folder.filename().string());
  }
  return donor.is_good ? found->second.row : nullptr;
}

at::Tensor KnownRows::embed(
    const at::Tensor& digests,
    const std::function<at::Tensor(const at::Tensor& positions)>& embed_new) {
  const std::int64_t count = digests.size(0);
  at::Tensor result = at::zeros({count, width_}, at::kFloat);
  auto* rows = result.mutable_data_ptr<float>();
  const std::size_t row_bytes = static_cast<std::size_t>(width_) * sizeof(float);
  was_known_.assign(static_cast<std::size_t>(count), true);
  std::unordered_map<std::string_view, std::int64_t> places;
  std::vector<std::int64_t> positions, targets, sources;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string_view digest = digest_at(digests, i);
    if (is_zero(digest)) continue;
    if (const float* known = find(digest); known != nullptr) {
      std::memcpy(rows + i * width_, known, row_bytes);
      continue;
    }
    was_known_[static_cast<std::size_t>(i)] = false;
    const auto [place, is_new] =
        places.emplace(digest, static_cast<std::int64_t>(positions.size()));
    if (is_new) positions.push_back(i);
    targets.push_back(i);
    sources.push_back(place->second);
  }
  const at::Tensor embedded = embed_new(at::tensor(positions, at::kLong));
  return result.index_copy_(0, at::tensor(targets, at::kLong),
                            embedded.index_select(0, at::tensor(sources, at::kLong)));
}

std::string KnownRows::taken_from() const { return join({used_.begin(), used_.end()}, ", "); }

}  // namespace saferclip
