// An outcome is 0, 1 or not measured, so a byte holds it: 25,000 rows and 60 columns are 1.5 MB.
// The file names the scores it belongs to by their hash, because a document may be replaced or
// moved without it.
#include "saferclip/evaluate/outcome_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {
namespace {

constexpr const char* kLayout = "outcomes";
constexpr std::uint8_t kNotMeasured = 2;

std::string tensor_name(std::size_t table, const char* part) { return cat(table, ".", part); }

OrderedJson layout_of(const OutcomeTable& table) {
  OrderedJson columns = OrderedJson::array();
  for (const OutcomeColumn& column : table.columns) {
    columns.push_back({{"keys", column.keys}, {"weighted", !column.weight.empty()}});
  }
  return {{"rows", table.rows}, {"columns", std::move(columns)}};
}

at::Tensor coded_values(const OutcomeTable& table) {
  at::Tensor coded =
      at::empty({static_cast<std::int64_t>(table.columns.size()), table.rows}, at::kByte);
  auto* out = coded.mutable_data_ptr<std::uint8_t>();
  for (const OutcomeColumn& column : table.columns) {
    for (const float value : column.value) {
      *out++ = std::isnan(value) ? kNotMeasured : static_cast<std::uint8_t>(value);
    }
  }
  return coded;
}

template <class Value>
at::Tensor copied(const std::vector<Value>& values, at::ScalarType type) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())}, type);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<Value>());
  return tensor;
}

template <class Value>
std::vector<Value> values_of(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  const auto* data = whole.const_data_ptr<Value>();
  return {data, data + whole.numel()};
}

PlacedTable read_table(const SafetensorsFile& file, std::size_t number, const OrderedJson& layout) {
  PlacedTable placed{layout.at("place").get<std::vector<std::string>>(), {}};
  OutcomeTable& table = placed.table;
  table.rows = layout.at("rows").get<std::int64_t>();
  const at::Tensor coded = file.tensor(tensor_name(number, "value"));
  const auto count = static_cast<std::int64_t>(layout.at("columns").size());
  if (coded.sizes() != at::IntArrayRef({count, table.rows})) {
    throw WeightsError(cat(file.path().string(), ": its tensors do not fit its columns"));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const OrderedJson& entry = layout.at("columns").at(static_cast<std::size_t>(i));
    OutcomeColumn column{entry.at("keys").get<std::vector<std::string>>(), {}};
    for (const std::uint8_t code : values_of<std::uint8_t>(coded[i])) {
      column.value.push_back(code == kNotMeasured ? std::numeric_limits<float>::quiet_NaN()
                                                  : static_cast<float>(code));
    }
    if (entry.at("weighted").get<bool>()) {
      column.weight = values_of<double>(file.tensor(cat(number, ".weight.", i)));
    }
    table.columns.push_back(std::move(column));
  }
  const std::string cluster = tensor_name(number, "cluster");
  if (file.contains(cluster)) table.cluster = values_of<std::int64_t>(file.tensor(cluster));
  return placed;
}

std::string hash_of(const OrderedJson& scores) { return sha256_hex(scores.dump()); }

}  // namespace

void write_outcomes(const std::filesystem::path& path, const std::vector<PlacedTable>& tables,
                    const OrderedJson& scores) {
  std::vector<NamedTensor> tensors;
  OrderedJson layout{{"scores", hash_of(scores)}, {"tables", OrderedJson::array()}};
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const OutcomeTable& table = tables[i].table;
    OrderedJson entry = layout_of(table);
    entry["place"] = tables[i].place;
    layout["tables"].push_back(std::move(entry));
    tensors.push_back({tensor_name(i, "value"), coded_values(table)});
    if (!table.cluster.empty()) {
      tensors.push_back({tensor_name(i, "cluster"), copied(table.cluster, at::kLong)});
    }
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      const std::vector<double>& weight = table.columns[c].weight;
      if (!weight.empty()) {
        tensors.push_back({cat(i, ".weight.", c), copied(weight, at::kDouble)});
      }
    }
  }
  write_safetensors(path, tensors, {{kLayout, layout.dump()}});
}

std::optional<std::vector<PlacedTable>> read_outcomes(const std::filesystem::path& path,
                                                      const OrderedJson& scores) {
  if (!is_file(path)) return std::nullopt;
  try {
    const SafetensorsFile file = SafetensorsFile::open(path);
    const OrderedJson layout = OrderedJson::parse(file.metadata().at(kLayout));
    if (layout.at("scores") != hash_of(scores)) return std::nullopt;
    std::vector<PlacedTable> tables;
    for (std::size_t i = 0; i < layout.at("tables").size(); ++i) {
      tables.push_back(read_table(file, i, layout.at("tables").at(i)));
    }
    return tables;
  } catch (const Error&) {
    return std::nullopt;  // damaged: the comparison says what it could not test
  } catch (const OrderedJson::exception&) {
    return std::nullopt;
  } catch (const std::out_of_range&) {
    return std::nullopt;
  }
}

}  // namespace saferclip
