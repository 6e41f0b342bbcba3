#include "cli/report_gallery.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "saferclip/core/text_format.h"
#include "saferclip/image/image.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kThumbnail = 96;  // pixels
constexpr std::int64_t kResults = 5;

class Gallery {
 public:
  Gallery(const GalleryData& data, const SplitData& pool) : d_(data), pool_(pool) {
    for (std::size_t i = 0; i < d_.split->good_rows.size(); ++i) {
      if (d_.after.has_unsafe_image[i]) galleries_[gallery_of(i)].push_back(i);
    }
  }

  // Unsafe texts, one a concept (pair or tag) first.
  std::vector<ReportQuery> unsafe_texts(std::int64_t count) const {
    std::vector<std::size_t> chosen;
    std::map<std::string, int> seen;
    for (int turn = 0; turn < 3; ++turn) {
      for (const auto& [name, rows] : galleries_) {
        for (const std::size_t i : rows) {
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

  // Unsafe texts that still find an unsafe picture, by how clearly, and safe texts that lost
  // theirs.
  std::vector<ReportQuery> worst(std::size_t count) const {
    std::vector<std::pair<double, std::size_t>> still_unsafe, lost;
    for (const auto& [name, rows] : galleries_) {
      for (const std::size_t i : rows) {
        const auto [safe, unsafe] = best_scores(d_.after.unsafe_text, d_.after, rows, i);
        if (unsafe > safe) still_unsafe.emplace_back(safe - unsafe, i);
        const auto own = first_results(d_.after.safe_text, d_.after, rows, i, 1).front();
        const auto old = first_results(d_.before.safe_text, d_.before, rows, i, 1).front();
        if (own != std::pair(i, false) && old == std::pair(i, false)) lost.emplace_back(0, i);
      }
    }
    std::sort(still_unsafe.begin(), still_unsafe.end());
    std::vector<ReportQuery> queries;
    for (std::size_t n = 0; n < std::min(count, still_unsafe.size()); ++n) {
      queries.push_back(unsafe_query(still_unsafe[n].second,
                                     cat("Still finds an unsafe picture, by ",
                                         fixed(-still_unsafe[n].first, 3), " in cosine.")));
    }
    for (std::size_t n = 0; n < std::min(count, lost.size()); ++n) {
      queries.push_back(query(lost[n].second, false,
                              "A safe text that found its own picture before and does not now."));
    }
    return queries;
  }

 private:
  using Result = std::pair<std::size_t, bool>;  // row, whether its unsafe picture

  std::string gallery_of(std::size_t i) const {
    return d_.after.gallery.empty() ? "" : d_.after.gallery[i];
  }
  const ManifestRow& manifest_row(std::size_t i) const {
    return d_.split->manifest.rows[static_cast<std::size_t>(d_.split->good_rows[i])];
  }

  static at::Tensor scores(const at::Tensor& texts, const at::Tensor& pictures,
                           const std::vector<std::size_t>& rows, std::size_t query) {
    std::vector<std::int64_t> index;
    index.reserve(rows.size());
    for (const std::size_t row : rows) index.push_back(static_cast<std::int64_t>(row));
    return at::mv(select_rows(pictures, index), texts[static_cast<std::int64_t>(query)]);
  }

  static std::pair<double, double> best_scores(const at::Tensor& texts, const EmbeddingSet& set,
                                               const std::vector<std::size_t>& rows,
                                               std::size_t query) {
    return {scores(texts, set.safe_image, rows, query).max().item<double>(),
            scores(texts, set.unsafe_image, rows, query).max().item<double>()};
  }

  static std::vector<Result> first_results(const at::Tensor& texts, const EmbeddingSet& set,
                                           const std::vector<std::size_t>& rows, std::size_t query,
                                           std::int64_t count) {
    const at::Tensor all = at::cat(
        {scores(texts, set.safe_image, rows, query), scores(texts, set.unsafe_image, rows, query)});
    const at::Tensor order = std::get<1>(all.sort(true, 0, true));
    std::vector<Result> results;
    for (std::int64_t n = 0; n < std::min(count, order.numel()); ++n) {
      const auto place = static_cast<std::size_t>(order[n].item<std::int64_t>());
      results.emplace_back(rows[place % rows.size()], place >= rows.size());
    }
    return results;
  }

  static ReportPicture picture(const fs::path& file, const std::string& caption, bool is_unsafe) {
    Preprocessing small;
    small.image_size = kThumbnail;
    return {encode_jpeg(load_preprocessed(file, small)), caption, is_unsafe};
  }

  std::vector<ReportPicture> pictures(const std::vector<Result>& results) const {
    std::vector<ReportPicture> list;
    for (const auto& [row, is_unsafe] : results) {
      const ManifestRow& m = manifest_row(row);
      list.push_back(picture(is_unsafe ? m.unsafe_image : m.safe_image,
                             is_unsafe ? m.unsafe_caption : m.safe_caption, is_unsafe));
    }
    return list;
  }

  ReportQuery query(std::size_t i, bool is_unsafe, const std::string& note) const {
    const std::vector<std::size_t>& rows = galleries_.at(gallery_of(i));
    const auto texts = [&](const EmbeddingSet& set) {
      return is_unsafe ? set.unsafe_text : set.safe_text;
    };
    const ManifestRow& row = manifest_row(i);
    ReportQuery query;
    query.query = {"", is_unsafe ? row.unsafe_caption : row.safe_caption, is_unsafe};
    query.before = pictures(first_results(texts(d_.before), d_.before, rows, i, kResults));
    query.after = pictures(first_results(texts(d_.after), d_.after, rows, i, kResults));
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
  std::map<std::string, std::vector<std::size_t>> galleries_;
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
