// Finds already decoded pictures in finished artifacts, by the hash of their files.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "prepare/artifact.h"
#include "saferclip/core/log.h"

namespace saferclip {

class DecodedPictures {
 public:
  // `relatives`: picture artifacts of the same recipe; `row_bytes`: the size of a decoded picture.
  DecodedPictures(const std::vector<Relative>& relatives, std::size_t row_bytes, Logger& log);
  ~DecodedPictures();

  // The pixels of the picture whose file has this SHA-256; null: no artifact has them. Thread-safe.
  const std::uint8_t* find(const std::string& sha256) const;
  // "images-0123456789abcdef, …": the artifacts that pictures came from.
  std::string taken_from() const;

 private:
  struct Donor;
  void read(Donor& donor, std::size_t row_bytes);

  Logger& log_;
  std::vector<std::unique_ptr<Donor>> donors_;
  struct Place {
    Donor* donor = nullptr;
    const std::uint8_t* pixels = nullptr;
  };
  std::unordered_map<std::string, Place> places_;
};

}  // namespace saferclip
