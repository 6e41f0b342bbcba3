// One pass over each shard's headers; of the members only captions and JSON are read. A sample's
// fault spoils that sample alone, a shard's stops all, because the rest of it is then missing.
#include "data/shard_rows.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "data/manifest_fields.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/io/tar_reader.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

constexpr std::array kPictureEndings{"jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"};
constexpr std::uint64_t kMaxText = std::uint64_t{1} << 20U;  // a caption or a record
constexpr std::size_t kMostEndings = 100;                    // counted separately
constexpr std::size_t kListedEndings = 8;

struct Name {
  std::string key;     // empty: the member belongs to no sample
  std::string ending;  // lower case, behind the first dot of the file's name
};

Name split_name(std::string name) {
  while (name.starts_with("./")) name.erase(0, 2);
  const std::size_t slash = name.rfind('/');
  const std::size_t start = slash == std::string::npos ? 0 : slash + 1;
  const std::size_t dot = name.find('.', start);
  if (dot == std::string::npos || dot == start) return {"", name.substr(start)};
  Name result{name.substr(0, dot), name.substr(dot + 1)};
  std::transform(result.ending.begin(), result.ending.end(), result.ending.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return result;
}

// A sample while its members are read.
struct Sample {
  std::string key;
  Json record = Json::object();
  std::string caption;
  std::string unsafe_caption;
  ShardPictures pictures;
  std::string problem;  // the first
};

class ShardRowsReader {
 public:
  ShardRows read(const std::vector<fs::path>& shards) {
    for (const fs::path& shard : shards) read_shard(shard);
    add_notes();
    return std::move(rows_);
  }

 private:
  void read_shard(const fs::path& shard) {
    TarReader tar(shard);
    Sample sample;
    std::int64_t members = 0;
    pictures_ = 0;
    for (TarMember member; tar.next(member); ++members) {
      const Name name = split_name(member.name);
      if (name.key.empty()) {
        count_unread(name.ending);
        continue;
      }
      if (name.key != sample.key) {
        finish(sample);
        sample = {};
        sample.key = name.key;
        sample.pictures.shard = shard.filename().string();
      }
      add(sample, tar, shard, member, name.ending);
    }
    finish(sample);
    links_ += tar.skipped();
    if (members == 0) rows_.notes.push_back(cat(shard.string(), ": has no files"));
    if (members > 0 && pictures_ == 0) {
      throw DataError(cat(shard.string(), ": none of its ", with_commas(members),
                          " files is an image; expected ",
                          "KEY.jpg (or jpeg, png, webp, bmp, tif, tiff) beside KEY.txt or KEY.json",
                          unread_.empty() ? "" : cat("; other endings so far: ", unread_text())));
    }
  }

  void count_unread(const std::string& ending) {
    const std::string shown = is_valid_utf8(ending) ? shortened_text(ending, 20) : "?";
    if (unread_.contains(shown) || unread_.size() < kMostEndings) ++unread_[shown];
  }

  void add(Sample& sample, TarReader& tar, const fs::path& shard, const TarMember& member,
           const std::string& ending) {
    const bool is_unsafe = ending.starts_with("unsafe.");
    const std::string kind = is_unsafe ? ending.substr(7) : ending;
    if (is_picture_ending(kind)) {
      ++pictures_;
      StoredPicture& picture = is_unsafe ? sample.pictures.unsafe : sample.pictures.safe;
      if (!picture.empty()) {
        fault(sample, cat("has two ", is_unsafe ? "unsafe " : "safe ", "images: ", picture.member,
                          ", ", member.name));
      }
      picture = {shard, member.name, member.offset, member.size};
    } else if (kind == "txt" || ending == "json") {
      if (member.size > kMaxText) {
        return fault(sample, cat(member.name, " is larger than ", human_bytes(kMaxText)));
      }
      const std::string text = tar.content(member);
      if (!is_valid_utf8(text)) return fault(sample, member.name + " is not UTF-8");
      if (ending == "json") return read_json(sample, member.name, text);
      (is_unsafe ? sample.unsafe_caption : sample.caption) = trimmed(text);
    } else {
      count_unread(ending);
    }
  }

  static void fault(Sample& sample, const std::string& problem) {
    if (sample.problem.empty()) sample.problem = problem;
  }

  static void read_json(Sample& sample, const std::string& name, const std::string& text) {
    const TextRow row = read_json_record(text);
    if (!row.problem.empty()) return fault(sample, cat(name, ": ", row.problem));
    Json record = Json::parse(row.json);
    if (!record.is_object()) return fault(sample, name + " is not a JSON object");
    sample.record = std::move(record);
  }

  void finish(Sample& sample) {
    if (sample.key.empty()) return;
    TextRow row;
    row.line = row.record = static_cast<int>(rows_.table.rows.size()) + 1;
    Json& record = sample.record;
    if (!is_valid_utf8(sample.key)) fault(sample, "has a name that is not UTF-8");
    if (sample.problem.empty()) {
      if (find_field(record, kIdNames) == nullptr) record["id"] = sample.key;
      if (!sample.caption.empty() && find_field(record, kSafeCaptionNames) == nullptr)
        record["caption"] = sample.caption;
      if (!sample.unsafe_caption.empty() && find_field(record, kUnsafeCaptionNames) == nullptr)
        record["unsafe_caption"] = sample.unsafe_caption;
      name_picture(record, kSafeImageNames, sample.pictures.safe);
      name_picture(record, kUnsafeImageNames, sample.pictures.unsafe);
      // Pictures' names need not be UTF-8.
      row.json = record.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    row.problem = sample.problem;
    rows_.table.rows.push_back(std::move(row));
    rows_.pictures.push_back(std::move(sample.pictures));
  }

  // The sample's own picture is the only one.
  static void name_picture(Json& record, FieldNames names, const StoredPicture& picture) {
    if (picture.empty()) return;
    for (const char* name : names) record.erase(name);
    record[*names.begin()] = picture.name();
  }

  std::string unread_text() const {
    std::vector<std::string> parts;
    for (const auto& [ending, count] : unread_)
      parts.push_back(cat(".", ending, " (", with_commas(count), ")"));
    return join(shortened(parts, kListedEndings), ", ");
  }

  void add_notes() {
    if (!unread_.empty())
      rows_.notes.push_back("files in the shards are not read: " + unread_text());
    if (links_ > 0)
      rows_.notes.push_back(cat(with_commas(links_), " links in the shards are not read"));
  }

  ShardRows rows_;
  std::map<std::string, std::int64_t> unread_;
  std::int64_t links_ = 0;
  std::int64_t pictures_ = 0;  // of one shard
};

}  // namespace

bool is_picture_ending(const std::string& ending) {
  return std::find(kPictureEndings.begin(), kPictureEndings.end(), ending) != kPictureEndings.end();
}

ShardRows read_shard_rows(const std::vector<fs::path>& shards) {
  return ShardRowsReader().read(shards);
}

}  // namespace saferclip
