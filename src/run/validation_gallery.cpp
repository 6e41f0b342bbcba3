// The queries and their results are the report's, which knows the rules of galleries and partners.
#include "run/validation_gallery.h"

#include <vector>

#include "saferclip/image/contact_sheet.h"
#include "saferclip/image/image.h"
#include "saferclip/run/report_galleries.h"

namespace saferclip {
namespace {

constexpr std::int64_t kQueries = 4;
constexpr std::int64_t kMosaic = 6;  // what is left of an unsafe image: so many pixels a side

SheetCell cell_of(const ReportPicture& picture) {
  const std::string kind = picture.is_unsafe ? "unsafe" : "safe";
  SheetCell cell{decode_image(picture.jpeg, "thumbnail"),
                 picture.mark.empty() ? kind : "own " + kind};
  if (!picture.is_unsafe) return cell;
  const std::int64_t side = cell.image.width;
  const Image small = resize_image(cell.image, kMosaic, kMosaic, Interpolation::kBox);
  cell.image = resize_image(small, side, side, Interpolation::kBilinear);
  return cell;
}

SheetRow row_of(const std::string& label, const std::vector<ReportPicture>& found) {
  SheetRow row{label, {}};
  for (const ReportPicture& picture : found) row.cells.push_back(cell_of(picture));
  return row;
}

}  // namespace

std::string validation_gallery(Validator& validator, const EmbeddingSet& tuned) {
  GalleryData data;
  data.split = &validator.split();
  data.before = validator.reference_rows();
  data.after = tuned;
  if (!data.before.safe_text.defined() || !tuned.unsafe_text.defined()) return "";
  std::vector<SheetRow> rows;
  std::int64_t side = 0;
  for (const ReportQuery& query : unsafe_text_queries(data, validator.pool(), kQueries)) {
    rows.push_back({query.query.caption, {}});
    rows.push_back(row_of("before", query.before));
    rows.push_back(row_of("after", query.after));
    side = rows.back().cells.front().image.width;
  }
  return rows.empty() ? "" : encode_png(contact_sheet(rows, side));
}

}  // namespace saferclip
