#include "saferclip/distributed/agreement.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "distributed/packed_texts.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Value = std::optional<std::string>;

std::string pack_facts(const Facts& facts) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : facts) {
    texts.push_back(name);
    texts.push_back(value);
  }
  return pack_texts(texts);
}

Facts unpack_facts(const std::string& packed) {
  const std::vector<std::string> texts = unpack_texts(packed);
  Facts facts;
  for (std::size_t i = 0; i + 1 < texts.size(); i += 2) facts.emplace_back(texts[i], texts[i + 1]);
  return facts;
}

Value value_of(const Facts& facts, const std::string& name) {
  const auto found = std::ranges::find(facts, name, &Facts::value_type::first);
  return found == facts.end() ? Value{} : Value{found->second};
}

// "rank 3 (node2)", "ranks 0-2, 5 (node1, node2)".
std::string ranks_text(const std::vector<int>& ranks, const std::vector<std::string>& hosts) {
  std::vector<std::string> spans;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    spans.push_back(last == i ? cat(ranks[i]) : cat(ranks[i], "-", ranks[last]));
    i = last + 1;
  }
  for (const int rank : ranks) {
    const std::string& host = hosts.at(static_cast<std::size_t>(rank));
    if (std::ranges::find(names, host) == names.end()) names.push_back(host);
  }
  return cat(ranks.size() == 1 ? "rank " : "ranks ", join(spans, ", "), " (",
             join(shortened(names, 3), ", "), ")");
}

// Long values differ anywhere: what stands before the first difference is left out.
std::string shown(const Value& value, const std::vector<Value>& all) {
  if (!value) return "absent";
  constexpr std::size_t kBefore = 20;
  std::size_t common = value->size();
  for (const Value& other : all) {
    if (!other || other == value) continue;
    const auto first = std::ranges::mismatch(*value, *other).in1;
    common = std::min(common, static_cast<std::size_t>(first - value->begin()));
  }
  if (value->size() <= 60 || common <= kBefore) return shortened_text(*value);
  return "…" + shortened_text(value->substr(common - kBefore));
}

std::vector<std::string> names_of(const std::vector<Facts>& of_rank) {
  std::vector<std::string> names;
  std::set<std::string> known;
  for (const Facts& facts : of_rank) {
    for (const auto& fact : facts) {
      if (known.insert(fact.first).second) names.push_back(fact.first);
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> differences(const std::vector<Facts>& of_rank,
                                     const std::vector<std::string>& hosts) {
  std::vector<std::string> lines;
  for (const std::string& name : names_of(of_rank)) {
    std::vector<Value> values;  // distinct, in the order of the ranks
    std::map<Value, std::vector<int>> owners;
    for (std::size_t rank = 0; rank < of_rank.size(); ++rank) {
      const Value value = value_of(of_rank[rank], name);
      if (!owners.contains(value)) values.push_back(value);
      owners[value].push_back(static_cast<int>(rank));
    }
    if (values.size() == 1) continue;
    std::vector<std::string> parts;
    for (const Value& value : values) {
      parts.push_back(cat(shown(value, values), " on ", ranks_text(owners[value], hosts)));
    }
    lines.push_back(cat(name, ": ", join(shortened(parts, 4), "; ")));
  }
  return lines;
}

void agree(const Processes& processes, const Facts& facts) {
  if (processes.is_alone()) return;
  std::vector<Facts> of_rank;
  for (const std::string& packed : processes.gather_texts(pack_facts(facts))) {
    of_rank.push_back(unpack_facts(packed));
  }
  const std::vector<std::string> lines = differences(of_rank, processes.hosts());
  if (lines.empty()) return;
  processes.leave();  // all of them know
  throw ConfigError(join_problems(
      "the processes of this run differ; start all with the same program, command, configuration, "
      "data and thread count:",
      lines));
}

}  // namespace saferclip
