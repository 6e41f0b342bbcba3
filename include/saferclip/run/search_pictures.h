// What a search found, as pictures.
#pragma once

#include <string>

#include "saferclip/core/enum_words.h"
#include "saferclip/image/image.h"
#include "saferclip/report/search_page.h"
#include "saferclip/run/search_images.h"

namespace saferclip {

// Which images are blurred: those that look unsafe (all, if that is unknown), all, or none.
enum class Blur { kUnsafe, kAll, kNone };
constexpr auto enum_words(Blur) {
  return std::to_array<EnumWord<Blur>>(
      {{Blur::kUnsafe, "unsafe"}, {Blur::kAll, "all"}, {Blur::kNone, "none"}});
}

// Queries one below the other, the results of each model in a row of thumbnails. Throws DataError
// if an image has gone.
Image search_sheet(const Look& look, const SearchResults& results, Blur blur);
SearchPage search_page(const Look& look, const SearchResults& results, const std::string& title,
                       Blur blur);

}  // namespace saferclip
