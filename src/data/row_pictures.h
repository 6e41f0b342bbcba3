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

  // Where the next row's own paths start; at first at the image root.
  void start_in(const std::filesystem::path& folder) { start_ = folder; }

  // That no row's safe image exists, with the folder they were looked for in; else empty.
  std::string root_note() const;
  // "3 named unsafe images do not exist (…)"; empty when all exist.
  std::string absent_note() const;
  // That the template fits none of at least one row's images, with the first path; else empty.
  std::string template_note() const;
  // The path at which the last row's unsafe picture was not found; empty: found, or none named.
  const std::string& tried_last() const { return tried_last_; }

 private:
  // Of a row's path; `resolved` is of the template's.
  std::filesystem::path resolved_in_row(const std::string& text) const;
  std::filesystem::path resolved(const std::string& text) const;
  std::string filled_template(const std::string& text, const std::string& id) const;
  std::filesystem::path template_folder() const;
  bool is_allowed(PathContainment& fence, const std::filesystem::path& path,
                  const ManifestRow& row);
  std::vector<std::filesystem::path> safe_candidates(const nlohmann::json& record) const;

  const ManifestRequest& request_;
  Report problem_;
  std::filesystem::path root_;
  std::filesystem::path start_;
  PathContainment fence_;
  PathContainment template_fence_;
  std::int64_t absent_safe_ = 0;
  bool has_safe_ = false;
  std::int64_t absent_ = 0;
  std::vector<std::string> absent_examples_;
  std::string tried_last_;
  std::string first_unmatched_;  // of the template's paths
  std::int64_t unmatched_ = 0;
  bool has_matched_ = false;
};

}  // namespace saferclip
