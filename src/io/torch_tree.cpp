#include "io/torch_tree.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Kind = PickleValue::Kind;

struct StorageType {
  const char* name;
  c10::ScalarType dtype;
};
constexpr std::array<StorageType, 10> kStorages{
    {{"torch.FloatStorage", c10::ScalarType::Float},
     {"torch.HalfStorage", c10::ScalarType::Half},
     {"torch.BFloat16Storage", c10::ScalarType::BFloat16},
     {"torch.DoubleStorage", c10::ScalarType::Double},
     {"torch.LongStorage", c10::ScalarType::Long},
     {"torch.IntStorage", c10::ScalarType::Int},
     {"torch.ShortStorage", c10::ScalarType::Short},
     {"torch.CharStorage", c10::ScalarType::Char},
     {"torch.ByteStorage", c10::ScalarType::Byte},
     {"torch.BoolStorage", c10::ScalarType::Bool}}};

constexpr std::size_t kMaxDepth = 64;

class TreeReader {
 public:
  TreeReader(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  TorchTree read() {
    std::string path;
    PickleId root = pickle_.root;
    for (std::size_t depth = 0; depth < 4; ++depth) {
      const PickleId inner = nested_state(root, path);
      if (inner == root) break;
      root = inner;
    }
    if (!path.empty()) tree_.notes.push_back("the weights are its entry " + path);
    collect(root, "", 0);
    if (tree_.tensors.empty()) refuse("", "holds no tensors by name; expected a state_dict");
    strip_prefixes();
    return std::move(tree_);
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw WeightsError(cat(where_, ": ", name.empty() ? "" : cat("tensor \"", name, "\": "), what));
  }

  std::string callee_name(const PickleValue& value) const {
    return value.kind == Kind::kCall ? pickle_[value.callee].text : std::string();
  }

  // Key and value ids of a dict, an OrderedDict or an object with a dict of attributes.
  std::vector<std::pair<std::string, PickleId>> mapping(PickleId id) const {
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
    std::vector<std::pair<std::string, PickleId>> pairs;
    for (std::size_t i = 0; items != nullptr && i + 1 < items->size(); i += 2) {
      const PickleValue& key = pickle_[(*items)[i]];
      if (key.kind == Kind::kText) pairs.emplace_back(key.text, (*items)[i + 1]);
    }
    return pairs;
  }

  bool is_tensor(PickleId id) const {
    const std::string name = callee_name(pickle_[id]);
    return name.starts_with("torch._utils._rebuild_tensor") ||
           name.starts_with("torch._utils._rebuild_parameter");
  }

  bool has_tensors(PickleId id) const {
    const auto pairs = mapping(id);
    return std::any_of(pairs.begin(), pairs.end(),
                       [&](const auto& pair) { return is_tensor(pair.second); });
  }

  // A training checkpoint keeps the weights beside the optimizer.
  PickleId nested_state(PickleId id, std::string& path) const {
    const bool is_script = callee_name(pickle_[id]).starts_with("__torch__.");
    if (is_script || has_tensors(id)) return id;
    const auto pairs = mapping(id);
    for (const char* key :
         {"state_dict", "model_state_dict", "model", "module", "state_dict_ema"}) {
      for (const auto& [name, value] : pairs) {
        if (name != key || mapping(value).empty()) continue;
        path += (path.empty() ? "" : ".") + name;
        return value;
      }
    }
    return id;
  }

  void collect(PickleId id, const std::string& prefix, std::size_t depth) {
    if (depth > kMaxDepth) refuse("", "its modules are nested too deep");
    for (const auto& [name, value] : mapping(id)) {
      const std::string full = prefix + name;
      if (is_tensor(value)) {
        if (!tree_.tensors.emplace(full, read_tensor(value, full)).second) {
          refuse(full, "stands twice");
        }
      } else if (callee_name(pickle_[value]).starts_with("__torch__.")) {
        // A module may be shared, not contain itself; a chain of shared ones would multiply.
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
    if (tuple.kind != Kind::kTuple) refuse(name, "shape or strides are no tuple");
    for (const PickleId item : tuple.items) {
      if (pickle_[item].kind != Kind::kInteger || pickle_[item].integer < 0) {
        refuse(name, "shape or strides hold something else than non-negative integers");
      }
      numbers.push_back(pickle_[item].integer);
    }
    return numbers;
  }

  void read_storage(const PickleValue& value, const std::string& name, TorchTensor& tensor) const {
    const auto storage = read_torch_storage(pickle_, value);
    if (!storage) refuse(name, "its storage is of a kind or form that is not supported");
    tensor = *storage;
  }

  // The largest element reached must lie in the storage.
  void check_extent(const TorchTensor& tensor, const std::string& name) const {
    std::int64_t last = tensor.offset;
    std::int64_t count = 1;
    bool is_bad = tensor.shape.size() != tensor.strides.size() || tensor.shape.size() > 8;
    const bool is_empty =
        std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
    for (std::size_t i = 0; i < tensor.shape.size() && !is_bad; ++i) {
      std::int64_t reach = 0;
      is_bad = __builtin_mul_overflow(count, tensor.shape[i], &count);
      if (is_empty) continue;
      is_bad = is_bad || __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach) ||
               __builtin_add_overflow(last, reach, &last);
    }
    if (!is_bad && !is_empty) is_bad = last >= tensor.storage_numel;
    // Strides of 0 would let a few bytes claim any size.
    if (!is_bad && !is_empty) is_bad = count > tensor.storage_numel;
    if (is_bad) {
      refuse(name,
             cat("leaves its storage of ", tensor.storage_numel, " elements; the file is damaged"));
    }
  }

  TorchTensor read_tensor(PickleId id, const std::string& name) const {
    const PickleValue* call = &pickle_[id];
    for (int depth = 0; callee_name(*call).starts_with("torch._utils._rebuild_parameter");
         ++depth) {
      if (depth > 2) refuse(name, "is a parameter in a parameter");
      call = &argument(*call, 0, name);
    }
    const std::string function = callee_name(*call);
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

  void strip_prefixes() {
    for (bool is_again = true; is_again;) {
      is_again = false;
      for (const char* prefix : {"module.", "_orig_mod.", "model."}) {
        const bool all =
            std::all_of(tree_.tensors.begin(), tree_.tensors.end(),
                        [&](const auto& entry) { return entry.first.starts_with(prefix); });
        if (!all) continue;
        std::map<std::string, TorchTensor> stripped;
        for (auto& [name, tensor] : tree_.tensors) {
          stripped.emplace(name.substr(std::string_view(prefix).size()), std::move(tensor));
        }
        tree_.tensors = std::move(stripped);
        tree_.notes.push_back(cat("the prefix \"", prefix, "\" of all names was removed"));
        is_again = true;
      }
    }
  }

  const Pickle& pickle_;
  const std::string& where_;
  TorchTree tree_;
  std::size_t modules_ = 0;
};

}  // namespace

bool is_known_torch_global(const std::string& name, bool is_script) {
  static const std::set<std::string> kKnown{
      "collections.OrderedDict", "collections.defaultdict", "torch._utils._rebuild_tensor_v2",
      "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter",
      "torch._utils._rebuild_parameter_with_state", "torch.Size", "torch.device",
      "torch.storage.UntypedStorage", "torch.storage.TypedStorage",
      // Inert leftovers of training scripts.
      "argparse.Namespace", "builtins.dict", "builtins.list", "builtins.int", "builtins.float",
      "builtins.str", "builtins.bool", "builtins.set", "builtins.bytearray", "__builtin__.dict",
      "__builtin__.list", "__builtin__.int", "__builtin__.long", "__builtin__.float",
      "__builtin__.unicode", "__builtin__.bool", "__builtin__.set", "_codecs.encode",
      "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
      "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.dtype",
      "numpy.ndarray", "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath",
      "pathlib.WindowsPath", "pathlib.PureWindowsPath", "pathlib._local.PosixPath"};
  if (kKnown.contains(name)) return true;
  if (is_script && (name.starts_with("__torch__.") || name.starts_with("torch.jit._pickle."))) {
    return true;
  }
  if (!name.starts_with("torch.")) return false;
  static const std::set<std::string> kDtypes{
      "torch.float32", "torch.float16", "torch.bfloat16", "torch.float64", "torch.int64",
      "torch.int32",   "torch.int16",   "torch.int8",     "torch.uint8",   "torch.bool"};
  return kDtypes.contains(name) ||
         std::any_of(kStorages.begin(), kStorages.end(),
                     [&](const StorageType& s) { return name == s.name; });
}

// ('storage', torch.FloatStorage, key, device, elements[, None])
std::optional<TorchTensor> read_torch_storage(const Pickle& pickle, const PickleValue& value) {
  if (value.kind != Kind::kPersistent) return std::nullopt;
  const std::vector<PickleId>& id = pickle[value.items[0]].items;
  if (id.size() < 5 || pickle[id[0]].text != "storage" || pickle[id[2]].kind != Kind::kText ||
      pickle[id[4]].kind != Kind::kInteger || pickle[id[4]].integer < 0) {
    return std::nullopt;
  }
  // A sixth entry that is not None: a view as PyTorch wrote it before 0.4.
  if (id.size() > 5 && pickle[id[5]].kind != Kind::kNone) return std::nullopt;
  const auto* known = std::find_if(kStorages.begin(), kStorages.end(), [&](const StorageType& s) {
    return pickle[id[1]].text == s.name;
  });
  if (known == kStorages.end()) return std::nullopt;
  TorchTensor tensor;
  tensor.dtype = known->dtype;
  tensor.storage = pickle[id[2]].text;
  tensor.storage_numel = pickle[id[4]].integer;
  return tensor;
}

TorchTree read_torch_tree(const Pickle& pickle, const std::string& where) {
  return TreeReader(pickle, where).read();
}

}  // namespace saferclip
