// A picture file's SHA-256 and the decoding recipe determine its pixels, so pixels are copied from
// any artifact of the same recipe. The checksum of such an artifact is compared when a picture is
// first taken from it, and once only, since that reads the whole file. An artifact that is damaged
// or disappears costs decoding and nothing else.
#include "prepare/decoded_pictures.h"

#include <ATen/ATen.h>

#include "prepare/picture_rows.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

struct DecodedPictures::Donor {
  explicit Donor(Relative from) : relative(std::move(from)) {}
  Relative relative;
  std::vector<at::Tensor> columns;  // keeps the memory behind places_
  std::once_flag once;
  bool is_good = false;  // set once, by the first thread that finds a picture in it
};

DecodedPictures::DecodedPictures(const std::vector<Relative>& relatives, std::size_t row_bytes,
                                 Logger& log)
    : log_(log) {
  for (const Relative& relative : relatives) {
    donors_.push_back(std::make_unique<Donor>(relative));
    try {
      read(*donors_.back(), row_bytes);
    } catch (const Error&) {
      // Removed or replaced meanwhile: nothing can be copied from it.
    }
  }
}

DecodedPictures::~DecodedPictures() = default;

void DecodedPictures::read(Donor& donor, std::size_t row_bytes) {
  const auto file = SafetensorsFile::open(donor.relative.folder / kArtifactData);
  for (const std::string& name : picture_columns(file)) donor.columns.push_back(file.tensor(name));
  for_each_picture_record(
      donor.relative.folder, [&](std::size_t column, std::size_t row, const PictureRecord& record) {
        if (record.sha256.empty() || !record.problem.empty() || column >= donor.columns.size())
          return;
        const at::Tensor& pixels = donor.columns[column];
        if (row >= static_cast<std::size_t>(pixels.size(0)) ||
            pixels.nbytes() != row_bytes * static_cast<std::size_t>(pixels.size(0)))
          return;
        places_.emplace(record.sha256,
                        Place{&donor, pixels.const_data_ptr<std::uint8_t>() + row * row_bytes});
      });
}

const std::uint8_t* DecodedPictures::find(const std::string& sha256) const {
  const auto found = places_.find(sha256);
  if (found == places_.end()) return nullptr;
  Donor& donor = *found->second.donor;
  std::call_once(donor.once, [&] { donor.is_good = is_undamaged(donor.relative, log_); });
  return donor.is_good ? found->second.pixels : nullptr;
}

std::string DecodedPictures::taken_from() const {
  std::vector<std::string> names;
  for (const auto& donor : donors_) {
    if (donor->is_good) names.push_back(donor->relative.folder.filename().string());
  }
  return join(names, ", ");
}

}  // namespace saferclip
