// Recognizes the format by its first bytes and gives all formats one interface. Every PyTorch
// storage is checked against the bytes that the file has for it before a tensor may view it.
// Tensors are views into the memory map; a copy is made only of misaligned storages (legacy
// streams).
#include "saferclip/io/tensor_file.h"

#include <ATen/ATen.h>

#include <cstring>
#include <map>
#include <memory>

#include "io/pickle.h"
#include "io/safetensors_dtype.h"
#include "io/torch_tree.h"
#include "io/wrapper_names.h"
#include "io/zip_archive.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// The magic number of a legacy stream, 0x1950a86a20f9469cfc6c, little-endian.
constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);

TensorFile wrap_safetensors(const fs::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  TensorFile result{path, "safetensors", {}, file.metadata(), {}, {}, {}};
  for (const auto& [name, entry] : file.entries()) {
    result.entries.emplace(name, TensorInfo{entry.dtype, entry.shape});
  }
  result.tensor = [file](const std::string& name) { return file.tensor(name); };
  result.release_pages = [file] { file.release_pages(); };
  return result;
}

// The bytes of each storage, by key.
using Storages = std::map<std::string, std::string_view>;

std::int64_t element_bytes(c10::ScalarType dtype) {
  return static_cast<std::int64_t>(c10::elementSize(dtype));
}

at::Tensor view_of(const TorchTensor& tensor, std::string_view storage,
                   const std::shared_ptr<const MappedFile>& file) {
  const auto options = at::TensorOptions().dtype(tensor.dtype);
  auto* data = const_cast<char*>(storage.data());
  const auto size = static_cast<std::uintptr_t>(element_bytes(tensor.dtype));
  if (storage.empty() || reinterpret_cast<std::uintptr_t>(data) % size != 0) {
    at::Tensor copy = at::empty({tensor.storage_numel}, options);
    if (!storage.empty()) std::memcpy(copy.data_ptr(), data, copy.nbytes());
    return copy.as_strided(tensor.shape, tensor.strides, tensor.offset);
  }
  return at::from_blob(
             data, {tensor.storage_numel}, [keep = file](void*) {}, options)
      .as_strided(tensor.shape, tensor.strides, tensor.offset);
}

TensorFile finish(const std::shared_ptr<const MappedFile>& file, const char* format, TorchTree tree,
                  const Storages& storages) {
  TensorFile result{file->path(), format, {}, {}, std::move(tree.notes), {}, {}};
  for (const auto& [name, tensor] : tree.tensors) {
    const auto found = storages.find(tensor.storage);
    const bool is_missing = found == storages.end();
    const std::size_t available = is_missing ? 0 : found->second.size();
    const auto width = static_cast<std::size_t>(element_bytes(tensor.dtype));
    if (is_missing || available / width < static_cast<std::size_t>(tensor.storage_numel)) {
      throw WeightsError(cat(file->path().string(), ": tensor \"", name, "\": its storage ",
                             tensor.storage, " needs ", tensor.storage_numel, " elements, ",
                             is_missing ? "but is missing" : cat("but has ", available, " bytes"),
                             "; the file is damaged"));
    }
    result.entries.emplace(name,
                           TensorInfo{find_safetensors_dtype(tensor.dtype)->name, tensor.shape});
  }
  result.tensor = [file, storages, tensors = std::move(tree.tensors)](const std::string& name) {
    const auto tensor = tensors.find(name);
    if (tensor == tensors.end()) {
      throw WeightsError(cat(file->path().string(), ": has no tensor \"", name, "\""));
    }
    return view_of(tensor->second, storages.at(tensor->second.storage), file);
  };
  result.release_pages = [file] { file->release(file->size()); };
  return result;
}

// Members "<name>/data.pkl", "<name>/data/0", …; in a TorchScript archive also "<name>/code/…".
TensorFile open_zip(const std::shared_ptr<const MappedFile>& file) {
  const ZipArchive archive = ZipArchive::open(file);
  const std::string where = file->path().string();
  std::string root;
  for (const auto& [name, member] : archive.members()) {
    if (name == "data.pkl" || name.ends_with("/data.pkl")) {
      root = name.substr(0, name.size() - std::string_view("data.pkl").size());
    }
  }
  if (!archive.contains(root + "data.pkl")) {
    throw WeightsError(cat(where, ": not a PyTorch file: a ZIP archive without data.pkl"));
  }
  if (archive.contains(root + "byteorder") && archive.bytes(root + "byteorder") != "little") {
    throw WeightsError(cat(where, ": big-endian numbers are not supported"));
  }
  const bool is_script = archive.contains(root + "constants.pkl");
  const Pickle pickle =
      read_pickle(archive.bytes(root + "data.pkl"), where,
                  [&](const std::string& name) { return is_known_torch_global(name, is_script); });
  Storages storages;
  const std::string prefix = root + "data/";
  for (const auto& [name, member] : archive.members()) {
    if (name.starts_with(prefix) && member.is_stored) {
      storages.emplace(name.substr(prefix.size()), archive.bytes(name));
    }
  }
  return finish(file, is_script ? "TorchScript archive" : "PyTorch zip",
                read_torch_tree(pickle, where), storages);
}

// Five pickles (magic number, version, machine, object, storage keys), then for each key its number
// of elements (int64) and its data.
TensorFile open_legacy(const std::shared_ptr<const MappedFile>& file) {
  const std::string where = file->path().string();
  std::string_view rest(reinterpret_cast<const char*>(file->data()), file->size());
  const auto is_allowed = [](const std::string& name) {
    return is_known_torch_global(name, false);
  };
  const auto next = [&] {
    Pickle pickle = read_pickle(rest, where, is_allowed);
    rest.remove_prefix(pickle.size);
    return pickle;
  };
  const Pickle magic = next();
  if (magic[magic.root].text != kLegacyMagic) {
    throw WeightsError(cat(where, ": is a Python pickle, but torch.save did not write it"));
  }
  next();
  next();
  const Pickle object = next();
  TorchTree tree = read_torch_tree(object, where);
  // Sizes are in elements, whose width only the tensors on the storage tell.
  std::map<std::string, std::int64_t> widths;
  for (const PickleValue& value : object.values) {
    if (value.kind != PickleValue::Kind::kPersistent) continue;
    if (const auto storage = read_torch_storage(object, value)) {
      widths[storage->storage] = element_bytes(storage->dtype);
    }
  }
  const Pickle keys = next();
  Storages storages;
  for (const PickleId id : keys[keys.root].items) {
    const std::string& key = keys[id].text;
    std::int64_t count = 0;
    if (rest.size() >= sizeof(count)) std::memcpy(&count, rest.data(), sizeof(count));
    const auto width = widths.find(key);
    if (rest.size() < sizeof(count) || width == widths.end() || count < 0 ||
        static_cast<std::uint64_t>(count) >
            (rest.size() - sizeof(count)) / static_cast<std::uint64_t>(width->second)) {
      throw WeightsError(cat(where, ": storage ", key, " exceeds the file; it is truncated"));
    }
    const auto size = static_cast<std::size_t>(count * width->second);
    storages[key] = rest.substr(sizeof(count), size);
    rest.remove_prefix(sizeof(count) + size);
  }
  return finish(file, "legacy PyTorch", std::move(tree), storages);
}

TensorFile open_as_written(const fs::path& path) {
  std::shared_ptr<const MappedFile> file;
  try {
    file = MappedFile::open(path);
  } catch (const DataError& problem) {
    throw WeightsError(problem.what());
  }
  const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
  if (ZipArchive::looks_like_zip(*file)) return open_zip(file);
  if (bytes.starts_with("\x80\x02")) return open_legacy(file);
  if (bytes.starts_with("version https://git-lfs")) {
    throw WeightsError(
        cat(path.string(), ": is a Git LFS pointer, not the file itself; run `git lfs pull`"));
  }
  if (bytes.size() >= 9 && bytes[8] == '{') return wrap_safetensors(path);
  throw WeightsError(
      cat(path.string(), ": not a weights file: neither safetensors nor PyTorch (zip or pickle)"));
}

void rename_tensors(TensorFile& file, const std::map<std::string, std::string>& originals) {
  std::map<std::string, TensorInfo> entries;
  std::map<std::string, std::string> own;
  for (const auto& [clean, original] : originals) {
    const auto found = file.entries.find(original);
    if (found == file.entries.end()) continue;
    entries.emplace(clean, found->second);
    own.emplace(clean, original);
  }
  file.entries = std::move(entries);
  file.tensor = [tensor = file.tensor, own = std::move(own),
                 path = file.path](const std::string& name) {
    const auto found = own.find(name);
    if (found == own.end()) {
      throw WeightsError(cat(path.string(), ": has no tensor \"", name, "\""));
    }
    return tensor(found->second);
  };
}

}  // namespace

TensorFile open_tensor_file(const fs::path& path) {
  return std::move(open_tensor_files({path}).front());
}

std::vector<TensorFile> open_tensor_files(const std::vector<fs::path>& paths) {
  std::vector<TensorFile> files;
  std::vector<std::string> names;
  for (const fs::path& path : paths) {
    files.push_back(open_as_written(path));
    for (const auto& [name, info] : files.back().entries) names.push_back(name);
  }
  if (files.empty()) return files;
  const CleanNames clean = without_wrappers(names, files.front().path.string());
  if (clean.notes.empty()) return files;
  for (TensorFile& file : files) rename_tensors(file, clean.originals);
  TensorFile& first = files.front();
  first.notes.insert(first.notes.end(), clean.notes.begin(), clean.notes.end());
  return files;
}

}  // namespace saferclip
