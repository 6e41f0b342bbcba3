// Writes a self-contained HTML page about a run: no network, light and dark mode, usable by
// keyboard and screen readers, unsafe pictures blurred until revealed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace saferclip {

struct ReportPicture {
  std::string jpeg;     // file bytes; empty for a text without picture
  std::string caption;  // shown below the picture and read by screen readers
  bool is_unsafe = false;
  std::string mark = {};  // what it is to the query: "its own image"; empty: nothing special
};

// A query with the top results of both models, best first.
struct ReportQuery {
  ReportPicture query;
  std::vector<ReportPicture> before;
  std::vector<ReportPicture> after;
  std::vector<ReportPicture> target;  // where training sends the query: none or one
  std::string note;
};

// What queries of one split find.
struct ReportGalleries {
  std::string split;
  std::vector<ReportQuery> texts;   // unsafe texts
  std::vector<ReportQuery> images;  // unsafe images
  std::vector<ReportQuery> worst;
};

struct ReportContent {
  std::string title;
  std::vector<std::pair<std::string, std::string>> byline;  // name, value: model, objective, date
  std::vector<std::string> warnings;                        // what a reader must not miss
  std::vector<std::pair<std::string, std::string>> facts;   // name, value
  std::string config;                                       // YAML
  std::string metrics;                                      // lines of metrics.jsonl
  std::vector<std::string> evaluations;                     // JSON documents of `evaluate`
  std::vector<std::int64_t> admitted;  // rows redirected in each epoch; empty: no curriculum
  std::int64_t rows = 0;               // all training rows
  std::vector<ReportGalleries> galleries;
};

// Returns the page. Skips broken lines of `metrics`, since the run may still be writing; throws
// DataError for a malformed evaluation.
std::string make_report(const ReportContent& content);

}  // namespace saferclip
