// What a search found, as pictures.
#pragma once

#include <string>

#include "saferclip/image/image.h"
#include "saferclip/report/search_page.h"
#include "saferclip/run/search_images.h"

namespace saferclip {

// Queries one below the other, the results of each model in a row of thumbnails. Throws DataError
// if an image has gone.
Image search_sheet(const Look& look, const SearchResults& results);
SearchPage search_page(const Look& look, const SearchResults& results, const std::string& title);

}  // namespace saferclip
