// Checkpoints of training scripts nest the state_dict in many ways and keep other tensors beside it
// (optimizer, EMA). The search accepts a usual name first, then the only entry with tensors under
// dotted names; it refuses to choose between several. Recursion is bounded and remembered, because
// pickled objects may be shared or contain themselves.
#include "io/torch_tree.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace {

using Kind = PickleValue::Kind;

constexpr std::size_t kMaxDepth = 64;
constexpr std::size_t kMaxNesting = 4;  // containers around a state_dict
constexpr std::string_view kQuantised = "torch._utils._rebuild_qtensor";
// For dtypes without a storage class: float8, uint16 to uint64.
constexpr std::string_view kOtherTypes = "torch._utils._rebuild_tensor_v3";

class TreeReader {
 public:
  TreeReader(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  TorchTree read() {
    std::string path;
    PickleId root = pickle_.root;
    for (std::size_t depth = 0; depth < kMaxNesting; ++depth) {
      const PickleId inner = nested_state(root, path);
      if (inner == root) break;
      root = inner;
    }
    if (!path.empty())
      tree_.notes.insert(tree_.notes.begin(), "reading the weights from its entry " + path);
    collect(root, "", 0);
    if (tree_.tensors.empty()) refuse("", "contains no named tensors; expected a state_dict");
    return std::move(tree_);
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw WeightsError(cat(where_, ": ", name.empty() ? "" : cat("tensor \"", name, "\": "), what));
  }

  std::string callee_name(const PickleValue& value) const {
    return value.kind == Kind::kCall ? pickle_[value.callee].text : std::string();
  }

  using Entry = std::pair<std::string, PickleId>;

  // The text keys and the values of a dict, an OrderedDict, or an object with a dict of attributes.
  std::vector<Entry> mapping(PickleId id) const {
    const PickleValue& value = pickle_[id];
    const std::vector<PickleId>* items = nullptr;
    if (value.kind == Kind::kDict) {
      items = &value.items;
    } else if (value.kind == Kind::kCall) {
      const std::string name = callee_name(value);
      if (name.starts_with("collections.")) items = &value.extra;
      if (name.starts_with("__torch__.") && pickle_[value.state].kind == Kind::kDict) {
        items = &pickle_[value.state].items;
      }
    }
    std::vector<Entry> pairs;
    for (std::size_t i = 0; items != nullptr && i + 1 < items->size(); i += 2) {
      const PickleValue& key = pickle_[(*items)[i]];
      if (key.kind == Kind::kText) pairs.emplace_back(key.text, (*items)[i + 1]);
    }
    return pairs;
  }

  bool is_tensor(PickleId id) const {
    const std::string name = callee_name(pickle_[id]);
    return name.starts_with("torch._utils._rebuild_tensor") || name == kQuantised ||
           name.starts_with("torch._utils._rebuild_parameter");
  }

  // The entries of a mapping by key, or of a tuple or list by "[index]".
  std::vector<Entry> entries(PickleId id) const {
    std::vector<Entry> found = mapping(id);
    const PickleValue& value = pickle_[id];
    if (value.kind != Kind::kTuple && value.kind != Kind::kList) return found;
    for (std::size_t i = 0; i < value.items.size() && i < 16; ++i) {
      found.emplace_back(cat("[", i, "]"), value.items[i]);
    }
    return found;
  }

  // Whether it is a state_dict: tensor names contain module names, hence dots. Names of a loss, a
  // generator's state or an optimizer's moments do not.
  bool is_state(PickleId id) const {
    const auto pairs = mapping(id);
    return std::any_of(pairs.begin(), pairs.end(), [&](const Entry& pair) {
      return is_tensor(pair.second) && pair.first.find('.') != std::string::npos;
    });
  }

  // Whether it is or contains a state_dict, or, unless `is_strict`, any named tensor. Memoized:
  // entries may be shared or contain themselves.
  bool holds_tensors(PickleId id, bool is_strict, std::size_t depth = 0) {
    if (depth > kMaxNesting) return false;
    const auto [known, is_new] = holds_.emplace(std::tuple(id, is_strict, depth), false);
    if (!is_new) return known->second;
    const auto inner = entries(id);
    known->second = (is_strict && is_state(id)) ||
                    std::any_of(inner.begin(), inner.end(), [&](const Entry& entry) {
                      return (!is_strict && is_tensor(entry.second)) ||
                             holds_tensors(entry.second, is_strict, depth + 1);
                    });
    return known->second;
  }

  // The entry of `id` that holds the weights: one with a usual name, else the only one that looks
  // like a state_dict. `id` itself if it is the state_dict.
  PickleId nested_state(PickleId id, std::string& path) {
    if (callee_name(pickle_[id]).starts_with("__torch__.")) return id;
    const auto all = entries(id);
    if (const Entry* entry = usual_entry(all, true)) return descend(all, *entry, path);
    if (is_state(id)) return id;
    std::vector<Entry> plain, averages;
    for (const Entry& entry : all) {
      if (entry.first.starts_with("optim") || !holds_tensors(entry.second, true)) continue;
      (is_average(entry.first) ? averages : plain).push_back(entry);
    }
    const std::vector<Entry>& candidates = plain.empty() ? averages : plain;
    if (candidates.size() == 1) return descend(all, candidates.front(), path);
    if (candidates.size() > 1) refuse_choice(candidates);
    const Entry* entry = usual_entry(all, false);
    return entry == nullptr ? id : descend(all, *entry, path);
  }

  // The entry with a usual name for weights that holds tensors, or null.
  const Entry* usual_entry(const std::vector<Entry>& all, bool is_strict) {
    for (const char* key :
         {"state_dict", "model_state_dict", "model", "module", "state_dict_ema"}) {
      for (const Entry& entry : all) {
        if (entry.first == key && holds_tensors(entry.second, is_strict)) return &entry;
      }
    }
    return nullptr;
  }

  // Enters `entry` and notes which other state_dicts are not read.
  PickleId descend(const std::vector<Entry>& all, const Entry& entry, std::string& path) {
    std::vector<std::string> others;
    for (const Entry& other : all) {
      if (other.second == entry.second || other.first.starts_with("optim")) continue;
      if (holds_tensors(other.second, true)) others.push_back(other.first);
    }
    if (!others.empty()) {
      const bool has_average = std::any_of(others.begin(), others.end(), is_average);
      tree_.notes.push_back(cat("ignored: ", join(shortened(others, 6), ", "), ", which also ",
                                others.size() == 1 ? "holds" : "hold", " tensors of a model",
                                has_average ? " (a running average of the weights)" : "",
                                "; to use it, ", how_to_save(others.front())));
    }
    path += (path.empty() || entry.first.starts_with("[") ? "" : ".") + entry.first;
    return entry.second;
  }

  [[noreturn]] void refuse_choice(const std::vector<Entry>& candidates) const {
    std::vector<std::string> names;
    for (const Entry& entry : candidates) names.push_back(entry.first);
    refuse("",
           cat("several of its entries hold tensors of a model (", join(shortened(names, 6), ", "),
               "); to use one of them, ", how_to_save(names.front())));
  }

  static std::string how_to_save(const std::string& name) {
    return cat("save it alone: torch.save(torch.load(FILE)[",
               name.starts_with("[") ? name.substr(1, name.size() - 2) : cat("\"", name, "\""),
               "], …)");
  }

  void collect(PickleId id, const std::string& prefix, std::size_t depth) {
    if (depth > kMaxDepth) refuse("", "its modules are nested too deeply");
    for (const auto& [name, value] : mapping(id)) {
      const std::string full = prefix + name;
      if (is_tensor(value)) {
        if (!tree_.tensors.emplace(full, read_tensor(value, full)).second) {
          refuse(full, "appears twice");
        }
      } else if (callee_name(pickle_[value]).starts_with("__torch__.")) {
        // Modules may be shared but not contain themselves; chains of shared ones would multiply.
        if (++modules_ > 100'000) refuse("", "it has too many modules");
        collect(value, full + ".", depth + 1);
      }
    }
  }

  const PickleValue& argument(const PickleValue& call, std::size_t index,
                              const std::string& name) const {
    const PickleValue& arguments = pickle_[call.items.at(0)];
    if (arguments.kind != Kind::kTuple || index >= arguments.items.size()) {
      refuse(name, "too few arguments");
    }
    return pickle_[arguments.items[index]];
  }

  std::vector<std::int64_t> integers(const PickleValue& value, const std::string& name) const {
    std::vector<std::int64_t> numbers;
    // torch.Size((2, 3)) is a call around the tuple.
    const PickleValue& tuple = value.kind == Kind::kCall ? argument(value, 0, name) : value;
    if (tuple.kind != Kind::kTuple) refuse(name, "shape or strides are not a tuple");
    for (const PickleId item : tuple.items) {
      if (pickle_[item].kind != Kind::kInteger || pickle_[item].integer < 0) {
        refuse(name, "shape or strides must contain only non-negative integers");
      }
      numbers.push_back(pickle_[item].integer);
    }
    return numbers;
  }

  void read_storage(const PickleValue& value, const std::string& name, TorchTensor& tensor) const {
    const auto storage = read_torch_storage(pickle_, value);
    if (!storage) refuse(name, "its storage is of an unsupported kind");
    tensor = *storage;
  }

  // The last element must lie in the storage.
  void check_extent(const TorchTensor& tensor, const std::string& name) const {
    std::int64_t last = tensor.offset;
    std::int64_t count = 1;
    bool is_bad = tensor.shape.size() != tensor.strides.size() || tensor.shape.size() > 8;
    const bool is_empty =
        std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
    for (std::size_t i = 0; i < tensor.shape.size() && !is_bad; ++i) {
      std::int64_t distance = 0;
      is_bad = __builtin_mul_overflow(count, tensor.shape[i], &count);
      if (is_empty) continue;
      is_bad = is_bad ||
               __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &distance) ||
               __builtin_add_overflow(last, distance, &last);
    }
    if (!is_bad && !is_empty) is_bad = last >= tensor.storage_numel;
    // With strides of 0, a few bytes could claim any size.
    if (!is_bad && !is_empty) is_bad = count > tensor.storage_numel;
    if (is_bad) {
      refuse(name, cat("exceeds its storage of ", tensor.storage_numel,
                       " elements; the file is damaged"));
    }
  }

  TorchTensor read_tensor(PickleId id, const std::string& name) const {
    const PickleValue* call = &pickle_[id];
    for (int depth = 0; callee_name(*call).starts_with("torch._utils._rebuild_parameter");
         ++depth) {
      if (depth > 2) refuse(name, "is a parameter inside a parameter");
      call = &argument(*call, 0, name);
    }
    const std::string function = callee_name(*call);
    if (function == kQuantised) {
      refuse(name,
             "is quantized, not a floating-point tensor; dequantize the model "
             "(tensor.dequantize()) and save it again");
    }
    if (function == kOtherTypes) {
      refuse(name, cat("has dtype ", argument(*call, 6, name).text,
                       ", which is not supported; convert it to float32, float16 or bfloat16"));
    }
    if (function != "torch._utils._rebuild_tensor_v2" &&
        function != "torch._utils._rebuild_tensor") {
      refuse(name, cat("is rebuilt by ", function.empty() ? "no function" : function,
                       ", which is not supported"));
    }
    TorchTensor tensor;
    read_storage(argument(*call, 0, name), name, tensor);
    const PickleValue& offset = argument(*call, 1, name);
    if (offset.kind != Kind::kInteger || offset.integer < 0) refuse(name, "a bad storage offset");
    tensor.offset = offset.integer;
    tensor.shape = integers(argument(*call, 2, name), name);
    tensor.strides = integers(argument(*call, 3, name), name);
    check_extent(tensor, name);
    return tensor;
  }

  const Pickle& pickle_;
  const std::string& where_;
  TorchTree tree_;
  std::map<std::tuple<PickleId, bool, std::size_t>, bool> holds_;
  std::size_t modules_ = 0;
};

}  // namespace

TorchTree read_torch_tree(const Pickle& pickle, const std::string& where) {
  return TreeReader(pickle, where).read();
}

}  // namespace saferclip
