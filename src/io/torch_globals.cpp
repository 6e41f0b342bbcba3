// The allowlist of Python objects in checkpoints, and the storage types. Nothing on it is ever run,
// but refusing everything else keeps a file with code (torch.load without weights_only would run
// it) from looking like a sound one.
#include <algorithm>
#include <array>
#include <set>

#include "io/torch_tree.h"

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

}  // namespace

bool is_known_torch_global(const std::string& name, bool is_script) {
  static const std::set<std::string> kKnown{
      "collections.OrderedDict", "collections.defaultdict", "torch._utils._rebuild_tensor_v2",
      "torch._utils._rebuild_tensor", "torch._utils._rebuild_parameter",
      "torch._utils._rebuild_parameter_with_state", "torch.Size", "torch.device",
      "torch.storage.UntypedStorage", "torch.storage.TypedStorage",
      // Allowed here, because torch_tree.cpp refuses such a tensor by name if it is a weight.
      "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_qtensor", "torch.QInt8Storage",
      "torch.QUInt8Storage", "torch.QInt32Storage", "torch.qint8", "torch.quint8", "torch.qint32",
      "torch.per_tensor_affine", "torch.per_channel_affine", "torch.ComplexFloatStorage",
      "torch.ComplexDoubleStorage",
      // Inert leftovers of training scripts.
      "argparse.Namespace", "lightning_fabric.utilities.data.AttributeDict",
      "lightning.fabric.utilities.data.AttributeDict",
      "pytorch_lightning.utilities.parsing.AttributeDict", "torch.torch_version.TorchVersion",
      "collections.Counter", "builtins.dict", "builtins.list", "builtins.int", "builtins.float",
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
      "torch.float32",        "torch.float16",     "torch.bfloat16",
      "torch.float64",        "torch.int64",       "torch.int32",
      "torch.int16",          "torch.int8",        "torch.uint8",
      "torch.bool",           "torch.uint16",      "torch.uint32",
      "torch.uint64",         "torch.complex64",   "torch.complex128",
      "torch.float8_e4m3fn",  "torch.float8_e5m2", "torch.float8_e4m3fnuz",
      "torch.float8_e5m2fnuz"};
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
  // A sixth entry other than None is a view, as PyTorch wrote it before 0.4.
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

}  // namespace saferclip
