// Finds a row's pictures (by path, COCO id or address, or the configuration's template) and checks
// whether they may be read from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/path_containment.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

class RowPictures {
 public:
  using Report =
      std::function<void(const ManifestRow&, const std::string& kind, const std::string& message)>;
  // `request` must outlive the object.
  RowPictures(const ManifestRequest& request, Report report);

  // Without a usable one: reports it, sets `is_good` to false and returns an empty path or one that
  // is not allowed.
  std::filesystem::path safe(const nlohmann::json& record, const ManifestRow& row, bool& is_good);
  // Empty and not reported when the row has none.
  std::filesystem::path unsafe(const nlohmann::json& record, const ManifestRow& row, bool& is_good);

  // "3 named unsafe images do not exist (…)"; empty when all exist.
  std::string absent_note() const;

 private:
  std::filesystem::path resolved(const std::string& text) const;
  std::string filled_template(const std::string& text, const std::string& id) const;
  std::filesystem::path template_folder() const;
  bool is_allowed(PathContainment& fence, const std::filesystem::path& path,
                  const ManifestRow& row);
  std::vector<std::filesystem::path> safe_candidates(const nlohmann::json& record) const;

  const ManifestRequest& request_;
  Report problem_;
  std::filesystem::path root_;
  PathContainment fence_;
  PathContainment template_fence_;
  std::int64_t absent_ = 0;
  std::vector<std::string> absent_examples_;
};

}  // namespace saferclip
