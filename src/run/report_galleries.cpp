// Retrieval examples for the report, by the rules of the metrics: each gallery is searched by
// itself, over distinct pictures, and ties rank by index, safe pictures first. If any row has an
// unsafe picture, only rows that have one are queries. Thumbnails are decoded from the original
// files.
#include "saferclip/run/report_galleries.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"
#include "saferclip/io/stored_picture.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kThumbnail = 96;  // pixels
constexpr std::int64_t kResults = 5;

enum class QueryKind { kSafeText, kUnsafeText, kUnsafeImage };

bool is_unsafe_kind(QueryKind kind) { return kind != QueryKind::kSafeText; }

// What a result is to the query whose own partner it is.
const char* mark_of(QueryKind kind, bool is_unsafe) {
  switch (kind) {
    case QueryKind::kSafeText:
      return is_unsafe ? "its unsafe partner" : "its own image";
    case QueryKind::kUnsafeText:
      return is_unsafe ? "the image it names" : "its safe partner";
    case QueryKind::kUnsafeImage:
      break;
  }
  return is_unsafe ? "the text that names it" : "its safe partner";
}

// The items of one gallery: each picture and each caption by the first row that shows it.
struct Items {
  std::vector<std::int64_t> rows;
  std::vector<std::int64_t> safe;
  std::vector<std::int64_t> unsafe;
  std::vector<std::int64_t> safe_texts;
  std::vector<std::int64_t> unsafe_texts;
};

// Queries are the rows with an unsafe picture, or all rows if none has one.
class Gallery {
 public:
  Gallery(const GalleryData& data, const SplitData& pool) : d_(data), pool_(pool) {
    const std::vector<bool>& has = d_.after.has_unsafe_image;
    has_unsafe_ = std::find(has.begin(), has.end(), true) != has.end();
    own_.assign(has.size(), -1);
    own_unsafe_.assign(has.size(), -1);
    for (std::size_t i = 0; i < has.size(); ++i) {
      if (!has_unsafe_ || has[i]) add_row(i);
    }
  }

  // Each concept (pair or tag) appears once before any appears twice, and no caption does.
  std::vector<ReportQuery> unsafe_queries(QueryKind kind, std::int64_t count) const {
    std::vector<Candidate> all;
    for (const auto& [name, items] : galleries_) {
      for (const std::int64_t row : kind == QueryKind::kUnsafeImage ? items.unsafe : items.rows) {
        if (has_unsafe_) all.push_back({0, row});
      }
    }
    std::vector<ReportQuery> queries;
    for (const Candidate& one : without_repeats(all, kind, static_cast<std::size_t>(count))) {
      queries.push_back(query(one.row, kind, ""));
    }
    return queries;
  }

  // Unsafe texts and images that still find something unsafe, largest margin first, and safe texts
  // that lost their own image.
  std::vector<ReportQuery> worst(std::size_t count) const {
    std::vector<ReportQuery> queries;
    const auto add = [&](std::vector<Candidate> list, QueryKind kind, const auto& note) {
      std::stable_sort(list.begin(), list.end(),
                       [](const Candidate& a, const Candidate& b) { return a.lead > b.lead; });
      for (const Candidate& one : without_repeats(list, kind, count)) {
        queries.push_back(query(one.row, kind, note(one)));
      }
    };
    add(still_unsafe(QueryKind::kUnsafeText), QueryKind::kUnsafeText, [this](const Candidate& one) {
      return cat("Still finds an unsafe image, ahead by ", fixed(one.lead, 3), " in ", d_.unit,
                 ".");
    });
    add(still_unsafe(QueryKind::kUnsafeImage), QueryKind::kUnsafeImage,
        [this](const Candidate& one) {
          return cat("Still finds an unsafe text, ahead by ", fixed(one.lead, 3), " in ", d_.unit,
                     ".");
        });
    add(lost(), QueryKind::kSafeText, [](const Candidate&) {
      return "A safe text that found its own image before tuning but no longer does.";
    });
    return queries;
  }

 private:
  using Result = std::pair<std::int64_t, bool>;  // row, and whether its unsafe item is meant
  struct Candidate {
    double lead = 0;
    std::int64_t row = 0;
  };

  void add_row(std::size_t i) {
    const auto row = static_cast<std::int64_t>(i);
    const std::string gallery = gallery_of(row);
    Items& items = galleries_[gallery];
    items.rows.push_back(row);
    // The first row with the same key, which is added to the list if it is this one.
    const auto first_row = [&](const std::string& kind, const auto& key,
                               std::vector<std::int64_t>& list) {
      const auto [found, is_new] = first_.emplace(cat(kind, '\n', gallery, '\n', key), row);
      if (is_new) list.push_back(row);
      return found->second;
    };
    own_[i] = first_row("safe", d_.after.safe_picture[i], items.safe);
    if (!has_unsafe_) return;
    own_unsafe_[i] = first_row("unsafe", d_.after.unsafe_picture[i], items.unsafe);
    first_row("safe text", manifest_row(row).safe_caption, items.safe_texts);
    first_row("unsafe text", manifest_row(row).unsafe_caption, items.unsafe_texts);
  }

  std::string gallery_of(std::int64_t row) const {
    return d_.after.gallery.empty() ? "" : d_.after.gallery[static_cast<std::size_t>(row)];
  }
  const ManifestRow& manifest_row(std::int64_t row) const {
    const std::int64_t place = d_.split->good_rows[static_cast<std::size_t>(row)];
    return d_.split->manifest.rows[static_cast<std::size_t>(place)];
  }
  const std::string& concept_of(std::int64_t row) const {
    return (d_.after.pair.empty() ? d_.after.tag : d_.after.pair)[static_cast<std::size_t>(row)];
  }
  const std::string& caption_of(std::int64_t row, bool is_unsafe) const {
    return is_unsafe ? manifest_row(row).unsafe_caption : manifest_row(row).safe_caption;
  }

  std::vector<Candidate> without_repeats(const std::vector<Candidate>& list, QueryKind kind,
                                         std::size_t count) const {
    std::vector<Candidate> chosen;
    std::map<std::string, int> concepts;
    std::set<std::string> captions;
    std::size_t before = list.size();
    for (int turn = 0; chosen.size() != before; ++turn) {
      before = chosen.size();
      for (const Candidate& one : list) {
        if (chosen.size() >= count) return chosen;
        const std::string& caption = caption_of(one.row, is_unsafe_kind(kind));
        if (concepts[concept_of(one.row)] > turn || captions.contains(caption)) continue;
        captions.insert(caption);
        ++concepts[concept_of(one.row)];
        chosen.push_back(one);
      }
    }
    return chosen;
  }

  std::vector<Candidate> still_unsafe(QueryKind kind) const {
    std::vector<Candidate> list;
    for (const auto& [name, items] : galleries_) {
      for (const std::int64_t row : kind == QueryKind::kUnsafeImage ? items.unsafe : items.rows) {
        if (!has_unsafe_) continue;
        const auto [safe, unsafe] = scores(d_.after, items, row, kind);
        const double lead = unsafe.max().item<double>() - safe.max().item<double>();
        if (lead > 0) list.push_back({lead, row});
      }
    }
    return list;
  }

  std::vector<Candidate> lost() const {
    std::vector<Candidate> list;
    constexpr QueryKind kKind = QueryKind::kSafeText;
    for (const auto& [name, items] : galleries_) {
      for (const std::int64_t row : items.rows) {
        const Result own{own_[static_cast<std::size_t>(row)], false};
        if (first_results(d_.after, items, row, kKind, 1).front() != own &&
            first_results(d_.before, items, row, kKind, 1).front() == own) {
          list.push_back({0, row});
        }
      }
    }
    std::sort(list.begin(), list.end(),
              [](const Candidate& a, const Candidate& b) { return a.row < b.row; });
    return list;
  }

  // The cosines of a query to the safe and to the unsafe items, in the order of their rows.
  static std::pair<at::Tensor, at::Tensor> scores(const EmbeddingSet& set, const Items& items,
                                                  std::int64_t row, QueryKind kind) {
    if (kind == QueryKind::kUnsafeImage) {
      const at::Tensor image = set.unsafe_image[row];
      return {at::mv(select_rows(set.safe_text, items.safe_texts), image),
              at::mv(select_rows(set.unsafe_text, items.unsafe_texts), image)};
    }
    const at::Tensor text =
        kind == QueryKind::kUnsafeText ? set.unsafe_text[row] : set.safe_text[row];
    return {at::mv(select_rows(set.safe_image, items.safe), text),
            items.unsafe.empty() ? at::empty({0}, text.options())
                                 : at::mv(select_rows(set.unsafe_image, items.unsafe), text)};
  }

  static std::vector<Result> first_results(const EmbeddingSet& set, const Items& items,
                                           std::int64_t row, QueryKind kind, std::int64_t count) {
    const bool is_image = kind == QueryKind::kUnsafeImage;
    const auto& safe_rows = is_image ? items.safe_texts : items.safe;
    const auto& unsafe_rows = is_image ? items.unsafe_texts : items.unsafe;
    const auto [safe, unsafe] = scores(set, items, row, kind);
    const at::Tensor order = std::get<1>(at::cat({safe, unsafe}).sort(true, 0, true));
    std::vector<Result> results;
    for (std::int64_t n = 0; n < std::min(count, order.numel()); ++n) {
      const auto place = static_cast<std::size_t>(order[n].item<std::int64_t>());
      const bool is_unsafe = place >= safe_rows.size();
      results.emplace_back(is_unsafe ? unsafe_rows[place - safe_rows.size()] : safe_rows[place],
                           is_unsafe);
    }
    return results;
  }

  static std::string thumbnail(const StoredPicture& file) {
    Preprocessing small;
    small.image_size = kThumbnail;
    return encode_jpeg(
        decode_preprocessed(read_stored(file, kMaxPictureBytes), file.name(), small));
  }

  // Pictures are partners by the picture, captions by the picture that is searched with or by
  // words.
  bool is_own(std::int64_t row, QueryKind kind, const Result& result) const {
    const auto i = static_cast<std::size_t>(row), r = static_cast<std::size_t>(result.first);
    if (kind != QueryKind::kUnsafeImage) {
      return result.second ? own_unsafe_[r] == own_unsafe_[i] : own_[r] == own_[i];
    }
    return own_unsafe_[r] == own_unsafe_[i] ||
           caption_of(result.first, result.second) == caption_of(row, result.second);
  }

  std::vector<ReportPicture> items_found(const EmbeddingSet& set, std::int64_t row,
                                         QueryKind kind) const {
    std::vector<ReportPicture> list;
    const Items& items = galleries_.at(gallery_of(row));
    for (const Result& result : first_results(set, items, row, kind, kResults)) {
      const auto& [found, is_unsafe] = result;
      const ManifestRow& m = manifest_row(found);
      const std::string jpeg = kind == QueryKind::kUnsafeImage
                                   ? ""
                                   : thumbnail(is_unsafe ? m.unsafe_image : m.safe_image);
      list.push_back({jpeg, caption_of(found, is_unsafe), is_unsafe,
                      is_own(row, kind, result) ? mark_of(kind, is_unsafe) : ""});
    }
    return list;
  }

  ReportQuery query(std::int64_t row, QueryKind kind, const std::string& note) const {
    ReportQuery query;
    query.query = {kind == QueryKind::kUnsafeImage ? thumbnail(manifest_row(row).unsafe_image) : "",
                   caption_of(row, is_unsafe_kind(kind)), is_unsafe_kind(kind)};
    query.before = items_found(d_.before, row, kind);
    query.after = items_found(d_.after, row, kind);
    query.note = note;
    if (is_unsafe_kind(kind) && d_.targets.index.defined()) query.target.push_back(target(row));
    return query;
  }

  ReportPicture target(std::int64_t query) const {
    const std::int64_t row = d_.split->good_rows[static_cast<std::size_t>(query)];
    const auto caption = d_.targets.index[row].item<std::int64_t>();
    const auto image = d_.targets.image_index[row].item<std::int64_t>();
    const auto& pool = pool_.manifest.rows;
    const ManifestRow& own = manifest_row(query);
    const std::string words =
        caption < 0 ? own.safe_caption
        : caption >= static_cast<std::int64_t>(pool.size())
            ? d_.targets.extra_captions[static_cast<std::size_t>(caption) - pool.size()]
            : pool[static_cast<std::size_t>(caption)].safe_caption;
    return {
        thumbnail(image < 0 ? own.safe_image : pool[static_cast<std::size_t>(image)].safe_image),
        words, false};
  }

  const GalleryData& d_;
  const SplitData& pool_;
  bool has_unsafe_ = false;
  std::map<std::string, Items> galleries_;
  std::map<std::string, std::int64_t> first_;  // the first row of a picture or caption
  // Per row: the row that represents its safe picture, its unsafe one; -1: no item.
  std::vector<std::int64_t> own_;
  std::vector<std::int64_t> own_unsafe_;
};

}  // namespace

std::vector<ReportQuery> unsafe_text_queries(const GalleryData& data, const SplitData& pool,
                                             std::int64_t count) {
  return Gallery(data, pool).unsafe_queries(QueryKind::kUnsafeText, count);
}

std::vector<ReportQuery> unsafe_image_queries(const GalleryData& data, const SplitData& pool,
                                              std::int64_t count) {
  return Gallery(data, pool).unsafe_queries(QueryKind::kUnsafeImage, count);
}

std::vector<ReportQuery> worst_queries(const GalleryData& data, const SplitData& pool,
                                       std::size_t count) {
  return Gallery(data, pool).worst(count);
}

}  // namespace saferclip
