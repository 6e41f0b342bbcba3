// A folder of images with captions, and how two of them become the rows of a manifest.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct CaptionedImage {
  std::filesystem::path file;
  std::string name;  // relative to the folder: "birds/1.jpg"
  std::string caption;
};

struct CaptionedFolder {
  std::filesystem::path folder;
  std::vector<CaptionedImage> images;  // with a caption, sorted by name
  std::string captions_from;           // "captions.csv", ".txt files"
  std::vector<std::string> left_out;   // images without a caption, and further captions of an image
};

// Reads the captions from captions.csv, captions.tsv, captions.jsonl, metadata.csv or
// metadata.jsonl in the folder (columns for the file name and the caption), else from a .txt file
// beside each image. Throws DataError if no image has a caption, or if a file name is not UTF-8.
CaptionedFolder read_captioned_folder(const std::filesystem::path& folder);

struct ImagePair {
  CaptionedImage safe;
  CaptionedImage unsafe;  // empty: the row has none
};

struct ImagePairs {
  std::vector<ImagePair> pairs;
  std::vector<std::string> without_partner;  // names of both folders
};

// Pairs images whose names are equal up to the extension ("a/1.jpg", "a/1.png"). Throws DataError
// if two images of one folder differ in the extension alone.
ImagePairs pair_by_stem(const CaptionedFolder& safe, const CaptionedFolder& unsafe);

// Each image as a row without an unsafe half.
ImagePairs safe_alone(const CaptionedFolder& safe);

// The manifest as JSON lines, with image paths relative to `root`, which contains them.
std::string manifest_of(const ImagePairs& pairs, const std::filesystem::path& root);

}  // namespace saferclip
