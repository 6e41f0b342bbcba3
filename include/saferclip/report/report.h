// One self-contained HTML page about a run: no network, light and dark, keyboard and screen
// readers, unsafe pictures blurred until they are asked for.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace saferclip {

struct ReportPicture {
  std::string jpeg;     // file bytes; empty: a text stands alone
  std::string caption;  // what stands below it and what a screen reader says
  bool is_unsafe = false;
};

// A query with its first results by both models, best first.
struct ReportQuery {
  ReportPicture query;
  std::vector<ReportPicture> before;
  std::vector<ReportPicture> after;
  std::vector<ReportPicture> target;  // where training sends it: none or one
  std::string note;
};

struct ReportContent {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // name, value
  std::string config;                                      // YAML
  std::string metrics;                                     // lines of metrics.jsonl
  std::vector<std::string> evaluations;                    // JSON documents of `evaluate`
  std::vector<std::int64_t> admitted;  // rows that each epoch trains on; empty: no curriculum
  std::int64_t rows = 0;               // all training rows
  std::vector<ReportQuery> gallery;
  std::vector<ReportQuery> worst;
};

// The page. Broken lines of `metrics` (a run that is being written) are left out; a malformed
// evaluation throws DataError.
std::string make_report(const ReportContent& content);

}  // namespace saferclip
