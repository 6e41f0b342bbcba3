// The rows of tar shards as webdataset and img2dataset write them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/io/stored_picture.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {

// Where a row's pictures are; empty where the sample has none.
struct ShardPictures {
  StoredPicture safe;
  StoredPicture unsafe;
  std::string shard;  // its file name, for messages
};

// Where a row of an image folder is from.
struct RowPlace {
  std::filesystem::path folder;  // its paths start here
  std::string text;  // "cat/metadata.csv:4", if the folder has several lists; for messages
};

struct ShardRows {
  TextTable table;                      // line and record: the sample's number, from 1
  std::vector<ShardPictures> pictures;  // as long as table.rows, or empty: not in shards
  std::vector<RowPlace> places;         // as long as table.rows, or empty: no image folder
  std::vector<std::string> notes;       // members that are not read, with counts
};

// Whether a file's ending, in lower case and without the dot, is that of an image that can be read.
bool is_picture_ending(const std::string& ending);

// Consecutive members of one name up to the first dot are one sample: KEY.jpg (or jpeg, png, webp,
// bmp, tif, tiff), KEY.txt, KEY.json and, of the unsafe half, KEY.unsafe.jpg and KEY.unsafe.txt.
// The record is the JSON's, with `id` (the key), `caption` and `unsafe_caption` where it lacks
// them, and the pictures' names. Throws DataError for what TarReader refuses and for a shard
// without a picture.
ShardRows read_shard_rows(const std::vector<std::filesystem::path>& shards);

}  // namespace saferclip
