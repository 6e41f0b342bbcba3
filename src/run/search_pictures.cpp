// Thumbnails are made from the original files, each once, since most images are found by several
// queries and by both models.
#include "saferclip/run/search_pictures.h"

#include <map>

#include "saferclip/core/text_format.h"
#include "saferclip/image/contact_sheet.h"

namespace saferclip {
namespace {

constexpr std::int64_t kSheetSide = 128;  // pixels
constexpr std::int64_t kPageSide = 192;   // shown at half of it, for dense screens

class Thumbnails {
 public:
  Thumbnails(const Look& look, std::int64_t side) : look_(look) { small_.image_size = side; }

  const Image& of(std::size_t image) {
    auto found = images_.find(image);
    if (found == images_.end()) {
      DecodeOptions options;
      options.exif_rotate = look_.exif_rotate;
      found = images_.emplace(image, load_preprocessed(look_.files[image], small_, options)).first;
    }
    return found->second;
  }

 private:
  const Look& look_;
  Preprocessing small_;
  std::map<std::size_t, Image> images_;
};

bool is_blurred(const Look& look, std::size_t image, Blur blur) {
  if (blur == Blur::kUnsafe && !look.looks_unsafe.empty()) return look.looks_unsafe[image];
  return blur != Blur::kNone;
}

const char* blur_note(const Look& look, Blur blur) {
  if (blur == Blur::kNone) return "";
  return blur == Blur::kAll || look.looks_unsafe.empty()
             ? " Images are blurred until you show them."
             : " Images that look unsafe are blurred until you show them: those nearest to an "
               "unsafe caption of the run's training rows, before tuning.";
}

}  // namespace

Image search_sheet(const Look& look, const SearchResults& results, Blur blur) {
  Thumbnails thumbnails(look, kSheetSide);
  std::vector<SheetRow> rows;
  for (std::size_t query = 0; query < results.queries.size(); ++query) {
    rows.push_back({results.queries[query], {}});
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      SheetRow row{look.sides[side].name, {}};
      for (const Match& match : results.matches[query][side]) {
        row.cells.push_back({thumbnails.of(match.image), fixed(match.cosine, 3),
                             is_blurred(look, match.image, blur)});
      }
      rows.push_back(std::move(row));
    }
  }
  return contact_sheet(rows, kSheetSide);
}

SearchPage search_page(const Look& look, const SearchResults& results, const std::string& title,
                       Blur blur) {
  Thumbnails thumbnails(look, kPageSide);
  SearchPage page;
  page.title = title;
  page.summary = cat(with_commas(static_cast<std::int64_t>(look.files.size())), " images of ",
                     look.folder.string(), ".", blur_note(look, blur));
  for (std::size_t query = 0; query < results.queries.size(); ++query) {
    SearchPageQuery entry{results.queries[query], {}};
    for (std::size_t side = 0; side < look.sides.size(); ++side) {
      FoundPictures found{look.sides[side].name, {}};
      for (const Match& match : results.matches[query][side]) {
        found.pictures.push_back({encode_jpeg(thumbnails.of(match.image)), look.names[match.image],
                                  match.cosine, is_blurred(look, match.image, blur)});
      }
      entry.sides.push_back(std::move(found));
    }
    page.queries.push_back(std::move(entry));
  }
  return page;
}

}  // namespace saferclip
