// Where a row's pictures lie: by path, by COCO's id or address, by the configuration's template;
// and whether they may be read from there.
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
  // `request` must outlive it.
  RowPictures(const ManifestRequest& request, Report report);

  // Empty, after a report and with `is_good` false, when there is none that can be used.
  std::filesystem::path safe(const nlohmann::json& record, const ManifestRow& row, bool& is_good);
  // Empty, without a report, when the row has none.
  std::filesystem::path unsafe(const nlohmann::json& record, const ManifestRow& row, bool& is_good);

  // "3 named unsafe images do not exist (…)"; empty when all do.
  std::string absent_note() const;

 private:
  std::filesystem::path resolved(const std::string& text) const;
  std::string filled_template(const std::string& text, const std::string& id) const;
  std::filesystem::path template_folder() const;
  bool is_allowed(PathContainment& fence, const std::filesystem::path& path, const ManifestRow& row);
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
