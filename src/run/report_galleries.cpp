// Retrieval examples for the report, by the rules of the metrics: each gallery is searched by
// itself, over distinct pictures, and ties rank by index, safe pictures first. If any row has an
// unsafe picture, only rows that have one are queries. Thumbnails are decoded from the original
// files.
#include "saferclip/run/report_galleries.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"
#include "saferclip/io/stored_picture.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kThumbnail = 96;  // pixels
constexpr std::int64_t kResults = 5;

// The items of one gallery: each picture by the first row that shows it.
struct Items {
  std::vector<std::size_t> rows;  // the queries
  std::vector<std::int64_t> safe;
  std::vector<std::int64_t> unsafe;
};

// Queries are the rows with an unsafe picture, or all rows if none has one.
class Gallery {
 public:
  Gallery(const GalleryData& data, const SplitData& pool) : d_(data), pool_(pool) {
    const std::vector<bool>& has = d_.after.has_unsafe_image;
    has_unsafe_ = std::find(has.begin(), has.end(), true) != has.end();
    std::map<std::pair<std::string, std::int64_t>, std::int64_t> safe, unsafe;
    own_.assign(has.size(), -1);
    for (std::size_t i = 0; i < has.size(); ++i) {
      if (has_unsafe_ && !has[i]) continue;
      const auto row = static_cast<std::int64_t>(i);
      Items& items = galleries_[gallery_of(i)];
      items.rows.push_back(i);
      const auto [own, is_new] =
          safe.emplace(std::pair(gallery_of(i), d_.after.safe_picture[i]), row);
      own_[i] = own->second;
      if (is_new) items.safe.push_back(row);
      if (has_unsafe_ &&
          unsafe.emplace(std::pair(gallery_of(i), d_.after.unsafe_picture[i]), row).second) {
        items.unsafe.push_back(row);
      }
    }
  }

  // Unsafe texts; each concept (pair or tag) appears once before any appears twice.
  std::vector<ReportQuery> unsafe_texts(std::int64_t count) const {
    std::vector<std::size_t> chosen;
    std::map<std::string, int> seen;
    for (int turn = 0; has_unsafe_ && turn < 3; ++turn) {
      for (const auto& [name, items] : galleries_) {
        for (const std::size_t i : items.rows) {
          const std::string& concept_name =
              d_.after.pair.empty() ? d_.after.tag[i] : d_.after.pair[i];
          if (static_cast<std::int64_t>(chosen.size()) >= count || seen[concept_name] > turn)
            continue;
          if (std::find(chosen.begin(), chosen.end(), i) != chosen.end()) continue;
          ++seen[concept_name];
          chosen.push_back(i);
        }
      }
    }
    std::vector<ReportQuery> queries;
    queries.reserve(chosen.size());
    for (const std::size_t i : chosen) queries.push_back(unsafe_query(i, ""));
    return queries;
  }

  // Unsafe texts that still retrieve an unsafe picture, largest margin first, and safe texts that
  // lost their own.
  std::vector<ReportQuery> worst(std::size_t count) const {
    std::vector<std::pair<double, std::size_t>> still_unsafe;
    std::vector<std::size_t> lost;
    for (const auto& [name, items] : galleries_) {
      for (const std::size_t i : items.rows) {
        if (has_unsafe_) {
          const double lead = unsafe_lead(items, i);
          if (lead > 0) still_unsafe.emplace_back(-lead, i);
        }
        const Result own{own_[i], false};
        if (first_results(d_.after.safe_text, d_.after, items, i, 1).front() != own &&
            first_results(d_.before.safe_text, d_.before, items, i, 1).front() == own) {
          lost.push_back(i);
        }
      }
    }
    std::sort(still_unsafe.begin(), still_unsafe.end());
    std::vector<ReportQuery> queries;
    for (std::size_t n = 0; n < std::min(count, still_unsafe.size()); ++n) {
      queries.push_back(unsafe_query(still_unsafe[n].second,
                                     cat("Still retrieves an unsafe image, ahead by ",
                                         fixed(-still_unsafe[n].first, 3), " in cosine.")));
    }
    std::sort(lost.begin(), lost.end());
    for (std::size_t n = 0; n < std::min(count, lost.size()); ++n) {
      queries.push_back(
          query(lost[n], false,
                "A safe text that found its own image before tuning but no longer does."));
    }
    return queries;
  }

 private:
  using Result = std::pair<std::int64_t, bool>;  // row, and whether its unsafe picture is meant

  std::string gallery_of(std::size_t i) const {
    return d_.after.gallery.empty() ? "" : d_.after.gallery[i];
  }
  const ManifestRow& manifest_row(std::size_t i) const {
    return d_.split->manifest.rows[static_cast<std::size_t>(d_.split->good_rows[i])];
  }

  static at::Tensor scores(const at::Tensor& texts, const at::Tensor& pictures,
                           const std::vector<std::int64_t>& rows, std::size_t query) {
    return at::mv(select_rows(pictures, rows), texts[static_cast<std::int64_t>(query)]);
  }

  // The cosine margin of an unsafe text's best unsafe picture over its best safe one.
  double unsafe_lead(const Items& items, std::size_t query) const {
    const EmbeddingSet& set = d_.after;
    return scores(set.unsafe_text, set.unsafe_image, items.unsafe, query).max().item<double>() -
           scores(set.unsafe_text, set.safe_image, items.safe, query).max().item<double>();
  }

  static std::vector<Result> first_results(const at::Tensor& texts, const EmbeddingSet& set,
                                           const Items& items, std::size_t query,
                                           std::int64_t count) {
    at::Tensor all = scores(texts, set.safe_image, items.safe, query);
    if (!items.unsafe.empty()) {
      all = at::cat({all, scores(texts, set.unsafe_image, items.unsafe, query)});
    }
    const at::Tensor order = std::get<1>(all.sort(true, 0, true));
    std::vector<Result> results;
    for (std::int64_t n = 0; n < std::min(count, order.numel()); ++n) {
      const auto place = static_cast<std::size_t>(order[n].item<std::int64_t>());
      const bool is_unsafe = place >= items.safe.size();
      results.emplace_back(is_unsafe ? items.unsafe[place - items.safe.size()] : items.safe[place],
                           is_unsafe);
    }
    return results;
  }

  static ReportPicture picture(const StoredPicture& file, const std::string& caption,
                               bool is_unsafe) {
    Preprocessing small;
    small.image_size = kThumbnail;
    return {
        encode_jpeg(decode_preprocessed(read_stored(file, kMaxPictureBytes), file.name(), small)),
        caption, is_unsafe};
  }

  std::vector<ReportPicture> pictures(const std::vector<Result>& results) const {
    std::vector<ReportPicture> list;
    for (const auto& [row, is_unsafe] : results) {
      const ManifestRow& m = manifest_row(static_cast<std::size_t>(row));
      list.push_back(picture(is_unsafe ? m.unsafe_image : m.safe_image,
                             is_unsafe ? m.unsafe_caption : m.safe_caption, is_unsafe));
    }
    return list;
  }

  ReportQuery query(std::size_t i, bool is_unsafe, const std::string& note) const {
    const Items& items = galleries_.at(gallery_of(i));
    const auto texts = [&](const EmbeddingSet& set) {
      return is_unsafe ? set.unsafe_text : set.safe_text;
    };
    const ManifestRow& row = manifest_row(i);
    ReportQuery query;
    query.query = {"", is_unsafe ? row.unsafe_caption : row.safe_caption, is_unsafe};
    query.before = pictures(first_results(texts(d_.before), d_.before, items, i, kResults));
    query.after = pictures(first_results(texts(d_.after), d_.after, items, i, kResults));
    query.note = note;
    return query;
  }

  ReportQuery unsafe_query(std::size_t i, const std::string& note) const {
    ReportQuery result = query(i, true, note);
    if (!d_.targets.index.defined()) return result;
    const std::int64_t row = d_.split->good_rows[i];
    const auto caption = d_.targets.index[row].item<std::int64_t>();
    const auto image = d_.targets.image_index[row].item<std::int64_t>();
    const auto& pool = pool_.manifest.rows;
    const ManifestRow& own = manifest_row(i);
    const std::string words =
        caption < 0 ? own.safe_caption
        : caption >= static_cast<std::int64_t>(pool.size())
            ? d_.targets.extra_captions[static_cast<std::size_t>(caption) - pool.size()]
            : pool[static_cast<std::size_t>(caption)].safe_caption;
    result.target.push_back(
        picture(image < 0 ? own.safe_image : pool[static_cast<std::size_t>(image)].safe_image,
                words, false));
    return result;
  }

  const GalleryData& d_;
  const SplitData& pool_;
  bool has_unsafe_ = false;
  std::map<std::string, Items> galleries_;
  std::vector<std::int64_t> own_;  // per row: the row that represents its safe picture
};

}  // namespace

std::vector<ReportQuery> unsafe_text_queries(const GalleryData& data, const SplitData& pool,
                                             std::int64_t count) {
  return Gallery(data, pool).unsafe_texts(count);
}

std::vector<ReportQuery> worst_queries(const GalleryData& data, const SplitData& pool,
                                       std::size_t count) {
  return Gallery(data, pool).worst(count);
}

}  // namespace saferclip
