// One pass over the records. A record of another split is left out; a bad one is reported with its
// line and reading continues, so that all problems are known at once. Only a problem of the file as
// a whole throws. Pictures are located here but not opened: what is wrong inside them is found by
// decoding (prepare/).
#include "saferclip/data/manifest.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/captions.h"
#include "data/manifest_fields.h"
#include "data/row_list.h"
#include "data/row_pictures.h"
#include "data/split_filter.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/text_rows.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

std::string trimmed_lower(const std::string& text) {
  std::string result = trimmed(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return result;
}

class Reader {
 public:
  explicit Reader(const ManifestRequest& request)
      : request_(request),
        pictures_(request, [this](const ManifestRow& row, const std::string& kind,
                                  const std::string& message) { problem(row, kind, message); }),
        splits_(request.split) {
    manifest_.file = request.file;
  }

  Manifest read(const RowList& list) {
    const ShardRows listed = read_listed_rows(list, request_.class_caption);
    const TextTable& table = listed.table;
    is_table_ = !table.columns.empty();
    fields_.see(table.columns);
    manifest_.has_unsafe = request_.needs_unsafe;
    if (request_.detects_unsafe) {
      manifest_.has_unsafe =
          std::any_of(table.rows.begin(), table.rows.end(),
                      [&](const TextRow& record) { return has_unsafe_caption(record); });
    }
    for (std::size_t i = 0; i < table.rows.size(); ++i) {
      number_ = i + 1;
      in_shard_ = listed.pictures.empty() ? nullptr : &listed.pictures[i];
      if (!listed.places.empty()) {
        places_ = &listed.places;
        place_ = listed.places[i].text;
        pictures_.start_in(listed.places[i].folder);
      }
      read_row(table.rows[i]);
    }
    in_shard_ = nullptr;
    for (const std::string& line : listed.notes)
      manifest_.notes.push_back(cat(request_.file.string(), ": ", line));
    if (const std::string missing = fields_.missing(manifest_.has_unsafe); !missing.empty()) {
      if (!table.rows.empty()) throw DataError(cat(request_.file.string(), ": ", missing));
    }
    if (manifest_.rows.empty() && manifest_.problems.empty()) throw_no_row(table);
    manifest_.has_labels =
        fields_.has_any(kUnsafeCaptionLabelNames) || fields_.has_any(kUnsafeImageLabelNames);
    add_notes();
    return std::move(manifest_);
  }

 private:
  [[noreturn]] void throw_no_row(const TextTable& table) const {
    const std::string file = request_.file.string();
    if (table.rows.empty()) {
      throw DataError(
          cat(file, table.columns.empty() ? ": contains no rows" : ": has a header but no rows"));
    }
    if (splits_.others() == 0) {
      const std::string unmatched = pictures_.template_note();
      throw DataError(cat(file, ": no rows are left; ", left_out_text(),
                          unmatched.empty() ? "" : "\n  " + unmatched));
    }
    throw DataError(cat(
        file, ": has no rows of split \"", request_.split, "\"; its rows belong to ",
        splits_.others_text(), skipped_ > 0 ? "; " + left_out_text() : "",
        "\n  name a data.evaluation entry after the split it reads; rows without a \"split\" field "
        "belong to every split"));
  }

  std::string left_out_text() const {
    return cat(with_commas(skipped_),
               " rows without an unsafe image were left out (missing_unsafe_image: skip)");
  }

  void add_notes() {
    const auto note = [&](const std::string& text) {
      manifest_.notes.push_back(cat(request_.file.string(), ": ", text));
    };
    for (const std::string& line : fields_.likely_mistakes()) note(line);
    for (const std::string& line : fields_.label_columns()) note(line);
    if (unsafe_captions_.are_labels()) {
      note(cat("nearly all unsafe captions are one of a few words (", unsafe_captions_.examples(),
               "): these look like labels, not captions; ", kLabelCure));
    }
    for (const std::string& line : splits_.notes()) note(line);
    if (splits_.others() > 0) {
      manifest_.left_out.push_back(cat(request_.file.string(), ": ", with_commas(splits_.others()),
                                       " of ", with_commas(splits_.others() + manifest_.rows_read),
                                       " rows belong to other splits: ", splits_.others_text()));
    }
    for (const auto& [what, count] : tag_changes_) note(cat("tag ", what, " in ", count, " rows"));
    if (odd_tags_ > 0) note(cat("tag is not text in ", odd_tags_, " rows and was left empty"));
    if (const std::string none = pictures_.root_note(); !none.empty()) note(none);
    if (const std::string absent = pictures_.absent_note(); !absent.empty()) note(absent);
    const std::string unmatched = manifest_.has_unsafe ? pictures_.template_note() : "";
    if (!unmatched.empty()) note(unmatched);
    if (skipped_ > 0) note(left_out_text());
  }

  void problem(const ManifestRow& row, const std::string& kind, const std::string& message) {
    const std::string& place = in_shard_ == nullptr ? place_ : in_shard_->shard;
    const std::string where = place.empty() ? "" : place + ": ";
    manifest_.problems.push_back({row.id, row.line, kind, where + message, row.record});
  }

  // Whether a record of this split has an unsafe caption, good or bad.
  bool has_unsafe_caption(const TextRow& record) const {
    if (!record.problem.empty()) return false;
    const Json json = Json::parse(record.json);
    if (!json.is_object()) return false;
    SplitFilter filter(request_.split);
    const Json* value = find_field(json, kUnsafeCaptionNames);
    return value != nullptr && !is_blank(*value) && filter.admits(find_field(json, kSplitNames));
  }

  // The captions under one of `names`; empty, with the problem recorded, when any is unusable.
  std::vector<std::string> captions(const Json& json, FieldNames names, const ManifestRow& row) {
    const Json* value = find_field(json, names);
    const std::string name = *names.begin();
    if (value == nullptr) {
      problem(row, "missing " + name, cat("has no ", name));
      return {};
    }
    if (names.begin() == kUnsafeCaptionNames.begin()) unsafe_captions_.see(*value);
    const Captions found = read_captions(is_table_ ? listed_texts(*value) : *value, name);
    if (!found.problem.empty()) problem(row, found.kind, found.problem);
    return found.texts;
  }

  std::string tag(const Json& json) {
    const Json* value = find_field(json, kTagNames);
    if (value == nullptr) return "";
    if (!value->is_string()) {
      ++odd_tags_;
      return "";
    }
    const auto written = value->get<std::string>();
    std::string tag = trimmed_lower(written);
    // Misspellings in the published ViSU files.
    if (tag == "bodily bluids") tag = "bodily fluids";
    if (tag == "abuse") tag = "child abuse";
    if (tag != written) ++tag_changes_[cat("\"", written, "\" read as \"", tag, "\"")];
    return tag;
  }

  bool label(const Json& json, FieldNames names, const ManifestRow& row, bool& is_good) {
    std::string message;
    const std::optional<bool> value = zero_or_one(json, names, message);
    if (value) return *value;
    is_good = false;
    problem(row, "label is not 0 or 1", message);
    return true;
  }

  std::string id_of(const Json& json, const ManifestRow& row, bool& is_good) {
    const Json* id = find_field(json, kIdNames);
    if (id == nullptr) return std::to_string(number_);
    if (id->is_string()) {
      const auto text = id->get<std::string>();
      if (trimmed(text).empty()) return std::to_string(number_);
      // A table has no numbers, and pandas writes a column of whole numbers with a gap as 42.0.
      return is_table_ ? text_of_number(*id) : text;
    }
    if (id->is_number()) return text_of_number(*id);
    is_good = false;
    problem(row, "id is not text",
            cat("id is ", shortened_text(id->dump()), ", expected text or a number"));
    return "";
  }

  // Rows of several lists are numbered throughout.
  std::string place_of(int line) const {
    if (place_.empty()) return cat("on line ", line);
    return "in " + (*places_)[static_cast<std::size_t>(line) - 1].text;
  }

  bool is_new_id(const ManifestRow& row) {
    const auto [first, is_new] = first_lines_.emplace(row.id, row.line);
    if (!is_new)
      problem(row, "duplicate id",
              cat("id ", row.id, " is already used ", place_of(first->second)));
    return is_new;
  }

  // Whether the row's shard holds the picture.
  bool has_own(StoredPicture ShardPictures::*picture) const {
    return in_shard_ != nullptr && !(in_shard_->*picture).empty();
  }

  void read_row(const TextRow& text) {
    ++manifest_.rows_read;
    ManifestRow row;
    row.line = text.line;
    row.record = text.record;
    if (!text.problem.empty()) return problem(row, "unreadable row", text.problem);
    const Json json = Json::parse(text.json);
    if (!json.is_object())
      return problem(row, "unreadable row",
                     cat("is not a JSON object: ", shortened_text(text.json)));
    fields_.see(json);
    if (!splits_.admits(find_field(json, kSplitNames))) {
      --manifest_.rows_read;
      return;
    }
    bool is_good = true;
    row.id = id_of(json, row, is_good);
    if (is_good) is_good = is_new_id(row);
    if (const std::string conflict = field_conflict(json); !conflict.empty()) {
      is_good = false;
      problem(row, "two names of one field", conflict);
    }
    const auto safe = captions(json, kSafeCaptionNames, row);
    std::vector<std::string> unsafe{""};
    const bool is_safe_only = request_.detects_unsafe && !manifest_.has_unsafe;
    if (manifest_.has_unsafe ||
        (!is_safe_only && find_field(json, kUnsafeCaptionNames) != nullptr)) {
      unsafe = captions(json, kUnsafeCaptionNames, row);
    }
    is_good = is_good && !safe.empty() && !unsafe.empty();
    row.safe_image =
        has_own(&ShardPictures::safe) ? in_shard_->safe : pictures_.safe(json, row, is_good);
    if (!is_safe_only) {
      row.unsafe_image = has_own(&ShardPictures::unsafe) ? in_shard_->unsafe
                                                         : pictures_.unsafe(json, row, is_good);
    }
    row.tag = tag(json);
    row.gallery = label_text(json, kGalleryNames);
    row.pair = label_text(json, kPairNames);
    row.unsafe_caption_label = label(json, kUnsafeCaptionLabelNames, row, is_good);
    row.unsafe_image_label = label(json, kUnsafeImageLabelNames, row, is_good);
    if (is_good && unsafe.size() > 1 && unsafe.size() != safe.size()) {
      problem(row, "unequal lists of captions",
              cat("has ", safe.size(), " safe captions and ", unsafe.size(),
                  " unsafe captions; expected one unsafe caption or one for each safe caption"));
    } else if (is_good) {
      accept_captions(row, safe, unsafe);
    }
  }

  // One row per safe caption.
  void accept_captions(ManifestRow row, const std::vector<std::string>& safe,
                       const std::vector<std::string>& unsafe) {
    const std::string id = row.id;
    for (std::size_t i = 0; i < safe.size(); ++i) {
      if (safe.size() > 1) row.id = cat(id, "#", i);
      row.safe_caption = safe[i];
      row.unsafe_caption = unsafe[unsafe.size() > 1 ? i : 0];
      accept(row);
    }
  }

  void accept(ManifestRow row) {
    if (manifest_.has_unsafe && row.unsafe_image.empty()) {
      if (request_.missing_unsafe_image == MissingUnsafeImage::kSkip) {
        ++skipped_;
        return;
      }
      if (request_.missing_unsafe_image == MissingUnsafeImage::kError) {
        const std::string& tried = pictures_.tried_last();
        return problem(row, "missing unsafe image",
                       cat("has no unsafe image", tried.empty() ? "" : ": no such file: " + tried,
                           " (missing_unsafe_image: error; text_only and skip allow it)"));
      }
      ++manifest_.rows_without_unsafe_image;
    }
    manifest_.rows.push_back(std::move(row));
  }

  const ManifestRequest& request_;
  RowPictures pictures_;
  Manifest manifest_;
  SeenFields fields_;
  ColumnValues unsafe_captions_;
  SplitFilter splits_;
  std::map<std::string, int> first_lines_;
  std::map<std::string, int> tag_changes_;
  bool is_table_ = false;
  std::size_t number_ = 0;  // of the row being read, from 1: its id if it names none. Unlike its
                            // line it does not depend on the form of the file
  const ShardPictures* in_shard_ = nullptr;  // of the row being read
  std::string place_;                        // RowPlace::text of the row being read
  const std::vector<RowPlace>* places_ = nullptr;
  std::int64_t odd_tags_ = 0;
  std::int64_t skipped_ = 0;
};

}  // namespace

Manifest read_manifest(const ManifestRequest& request) {
  const RowList list = row_list(request.file);
  ManifestRequest listed = request;
  listed.file = list.file;
  if (!list.image_root.empty()) listed.image_root = list.image_root;
  if (list.has_classes && request.needs_unsafe && !request.detects_unsafe) {
    throw DataError(cat(list.file.string(), ": a folder per class has no unsafe captions, which ",
                        "this objective needs; train with objective.name: clip or siglip, or ",
                        "write a manifest with unsafe_caption"));
  }
  return Reader(listed).read(list);
}

}  // namespace saferclip
