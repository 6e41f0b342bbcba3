// A folder becomes a manifest beside the configuration. Image paths start from the deepest folder
// that contains all images, because images outside of it would be refused as bad rows.
#include "run/starter_data.h"

#include <algorithm>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/bad_rows.h"
#include "saferclip/data/manifest.h"
#include "saferclip/io/shard_paths.h"
#include "saferclip/run/captioned_folder.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kNamedLines = 3;

fs::path common_folder(const fs::path& a, const fs::path& b) {
  fs::path common;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end() && *i == *j; ++i, ++j) {
    common /= *i;
  }
  return common;
}

bool is_below(const fs::path& path, const fs::path& folder) {
  return common_folder(path, folder) == folder;
}

std::string rows_text(std::int64_t rows) {
  return cat(with_commas(rows), rows == 1 ? " row" : " rows");
}

// "24 rows, 19 with an unsafe image"
std::string with_unsafe(const StarterData& data, std::int64_t pictures) {
  return cat(rows_text(data.rows), data.has_unsafe
                                       ? cat(", ", with_commas(pictures), " with an unsafe image")
                                       : ", no unsafe captions");
}

// "left out 3 rows that …: a; b; …"
void note(std::vector<std::string>& seen, const std::string& what,
          const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  seen.push_back(
      cat("left out ", lines.size(), " ", what, ": ", join(shortened(lines, kNamedLines), "; ")));
}

// Refuses the options that only folders have.
void require_no_folders(const DataRequest& request) {
  const bool are_shards = names_shards(request.path);
  if (!request.unsafe.empty()) {
    throw ConfigError(cat("--unsafe ", request.unsafe.string(), ": works only if --data is a ",
                          "folder of images; ", request.path.string(),
                          are_shards ? " names shards, which hold the unsafe half themselves "
                                       "(KEY.unsafe.txt and KEY.unsafe.jpg beside KEY.jpg)"
                                     : " is a file, which holds the unsafe half itself "
                                       "(unsafe_caption, unsafe_image)"));
  }
  if (request.pair_by != PairBy::kName) {
    throw ConfigError(cat("--pair-by ", request.pair_by,
                          ": works only with two folders of images; ", "the rows of ",
                          request.path.string(), " are pairs already"));
  }
}

StarterData look_at_manifest(const DataRequest& request) {
  require_no_folders(request);
  ManifestRequest reading;
  reading.file = request.path;
  reading.split = request.split;
  reading.detects_unsafe = true;
  const Manifest manifest = read_manifest(reading);
  const BadRows bad = collect_bad_rows(manifest, {});
  StarterData data;
  data.manifest = request.path;
  data.rows = static_cast<std::int64_t>(manifest.rows.size());
  data.rows_read = bad.rows_read;
  data.bad_rows = bad.bad_rows;
  data.has_unsafe = manifest.has_unsafe;
  const std::int64_t with_image =
      manifest.has_unsafe ? data.rows - manifest.rows_without_unsafe_image : 0;
  data.comment = with_unsafe(data, with_image);
  data.seen.push_back(cat(request.path.string(), ": ", data.comment,
                          data.bad_rows > 0 ? cat(", ", with_commas(data.bad_rows), " bad") : ""));
  return data;
}

struct FolderPair {
  fs::path safe;
  fs::path unsafe;
};

// Throws ConfigError if one side contains the other: its images would count for both.
FolderPair sides_of(const DataRequest& request) {
  FolderPair sides{fs::canonical(request.path), {}};
  if (!request.unsafe.empty()) {
    if (!fs::is_directory(request.unsafe)) {
      throw ConfigError(cat("--unsafe ", request.unsafe.string(), ": no such folder"));
    }
    sides.unsafe = fs::canonical(request.unsafe);
  } else if (fs::is_directory(sides.safe / "safe") && fs::is_directory(sides.safe / "unsafe")) {
    sides.unsafe = fs::canonical(sides.safe / "unsafe");
    sides.safe = fs::canonical(sides.safe / "safe");
  }
  const bool overlap = !sides.unsafe.empty() &&
                       (is_below(sides.unsafe, sides.safe) || is_below(sides.safe, sides.unsafe));
  if (overlap) {
    throw ConfigError(cat("--unsafe ", sides.unsafe.string(), " and ", request.option, " ",
                          sides.safe.string(),
                          ": one contains the other, so its images would count as both; name two "
                          "separate folders"));
  }
  return sides;
}

fs::path manifest_beside(const DataRequest& request) {
  fs::path file = request.config;
  file.replace_filename(cat(request.config.stem().string(), ".", request.split, ".jsonl"));
  if (fs::exists(file) && !request.may_overwrite) {
    throw ConfigError(cat(file.string(), ": exists, and the rows of ", request.path.string(),
                          " would be written there; add --overwrite, or choose another --out"));
  }
  return output_file("--out", file);
}

// Adds what was found in a folder to the lines for the user.
CaptionedFolder look_at_side(const CaptionRequest& request, StarterData& data) {
  CaptionedFolder side = read_captioned_folder(request);
  data.seen.push_back(cat(side.folder.string(), ": ",
                          with_commas(static_cast<std::int64_t>(side.images.size())),
                          " images with captions from ", side.captions_from));
  for (const LeftOut& left_out : side.left_out) note(data.seen, left_out.what, left_out.items);
  data.warnings.insert(data.warnings.end(), side.warnings.begin(), side.warnings.end());
  return side;
}

std::string partners_text(const fs::path& folder, PairBy by) {
  return cat("images of ", folder.string(), " without a partner",
             by == PairBy::kName ? " of the same name" : "");
}

void pair_sides(const CaptionedFolder& safe, const CaptionedFolder& unsafe, PairBy by,
                StarterData& data) {
  data.images = pair_images(safe, unsafe, by);
  note(data.seen, partners_text(safe.folder, by), data.images.safe_alone);
  note(data.seen, partners_text(unsafe.folder, by), data.images.unsafe_alone);
  if (data.images.pairs.empty()) {
    throw DataError(cat(safe.folder.string(), " and ", unsafe.folder.string(),
                        ": no image has a partner; expected pairs of equal names up to the "
                        "extension, such as 1.jpg and 1.png; if the images are no pairs, "
                        "--pair-by order or --pair-by random makes some"));
  }
  if (by == PairBy::kName) return;
  data.warnings.push_back(cat(
      "--pair-by ", by, ": the two sides of a row need not belong together. Objective saferclip ",
      "redirects each unsafe row to its nearest safe caption, whatever its partner; safe_clip ",
      "and shield_clip redirect it to the partner, so do not use them here"));
}

StarterData look_at_folder(const DataRequest& request) {
  const FolderPair sides = sides_of(request);
  const bool is_alone = sides.unsafe.empty();
  if (is_alone && request.pair_by != PairBy::kName) {
    throw ConfigError(cat("--pair-by ", request.pair_by,
                          ": works only with two folders of images; ",
                          "name the unsafe one with --unsafe"));
  }
  StarterData data;
  const CaptionedFolder safe = look_at_side({sides.safe, request.split, is_alone}, data);
  data.common_folder = sides.safe;
  if (is_alone) {
    data.images = one_folder(safe);
  } else {
    const CaptionedFolder unsafe = look_at_side({sides.unsafe, request.split, false}, data);
    pair_sides(safe, unsafe, request.pair_by, data);
    data.common_folder = common_folder(sides.safe, sides.unsafe);
  }
  data.manifest = manifest_beside(request);
  data.rows = data.rows_read = static_cast<std::int64_t>(data.images.pairs.size());
  data.has_unsafe = !is_alone || safe.has_unsafe;
  const std::int64_t pictures =
      std::count_if(data.images.pairs.begin(), data.images.pairs.end(), [&](const ImagePair& pair) {
        return !pair.unsafe.name.empty() || !pair.safe.row.unsafe_image.empty();
      });
  data.comment = with_unsafe(data, pictures);
  return data;
}

}  // namespace

StarterData look_at_data(const DataRequest& request) {
  std::error_code error;
  if (fs::is_directory(request.path, error)) return look_at_folder(request);
  if (!fs::exists(request.path, error) && !is_shard_pattern(request.path)) {
    throw DataError(cat(request.option, " ", request.path.string(), ": no such file"));
  }
  return look_at_manifest(request);
}

fs::path shared_image_root(const StarterData* train, const StarterData* validation,
                           const fs::path& config) {
  const fs::path here = fs::weakly_canonical(fs::absolute(config).parent_path());
  std::optional<fs::path> root;
  const StarterData* manifest = nullptr;
  for (const StarterData* data : {train, validation}) {
    if (data == nullptr) continue;
    if (data->images.pairs.empty()) {
      manifest = data;
    } else {
      root = root ? common_folder(*root, data->common_folder) : data->common_folder;
    }
  }
  if (root && manifest != nullptr && !is_below(*root, here)) {
    throw ConfigError(cat("image paths of ", manifest->manifest.string(), " and of the images in ",
                          root->string(),
                          " start from different folders, and a configuration has one "
                          "data.image_root; write the configuration into a folder above those "
                          "images (--out), or give two manifests or two folders"));
  }
  return !root || manifest != nullptr || *root == here ? fs::path() : *root;
}

}  // namespace saferclip
