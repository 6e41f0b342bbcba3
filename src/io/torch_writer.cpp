// A state_dict as torch.save writes it: a ZIP archive of stored members, tensor data aligned to 64
// bytes, ZIP64 fields where sizes need them. Written by hand and not by LibTorch's writer, so that
// equal tensors give equal bytes (no time stamps) and no extra buffer is needed.
#include <ATen/ATen.h>
#include <zlib.h>

#include <set>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kLimit32 = 0xFFFFFFFF;

template <class Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// The few opcodes of protocol 2 that a dict of tensors needs.
class PickleWriter {
 public:
  PickleWriter() { bytes_ = "\x80\x02"; }
  void text(const std::string& value) {
    bytes_ += 'X';
    put(bytes_, static_cast<std::uint32_t>(value.size()));
    bytes_ += value;
  }
  void integer(std::int64_t value) {
    if (value >= 0 && value < INT32_MAX) {
      bytes_ += 'J';
      put(bytes_, static_cast<std::int32_t>(value));
    } else {
      bytes_ += "\x8a\x08";
      put(bytes_, value);
    }
  }
  void global(const char* module, const char* name) { raw(cat("c", module, "\n", name, "\n")); }
  void tuple(const std::vector<std::int64_t>& values) {
    raw("(");
    for (const std::int64_t value : values) integer(value);
    raw("t");
  }
  void raw(std::string_view bytes) { bytes_ += bytes; }
  std::string finish() { return bytes_ + '.'; }

 private:
  std::string bytes_;
};

const char* storage_name(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Float:
      return "FloatStorage";
    case c10::ScalarType::Half:
      return "HalfStorage";
    case c10::ScalarType::BFloat16:
      return "BFloat16Storage";
    case c10::ScalarType::Long:
      return "LongStorage";
    default:
      throw WeightsError(cat("dtype ", c10::toString(dtype), " cannot be stored in a .pt file"));
  }
}

std::vector<std::int64_t> row_major_strides(at::IntArrayRef shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<std::int64_t>(shape[i], 1);
  }
  return strides;
}

std::string pickle_of(const std::vector<NamedTensor>& tensors) {
  PickleWriter out;
  out.global("collections", "OrderedDict");
  out.raw(")R(");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& tensor = tensors[i].tensor;
    out.text(tensors[i].name);
    out.global("torch._utils", "_rebuild_tensor_v2");
    out.raw("((");
    out.text("storage");
    out.global("torch", storage_name(tensor.scalar_type()));
    out.text(std::to_string(i));
    out.text("cpu");
    out.integer(tensor.numel());
    out.raw("tQ");
    out.integer(0);
    out.tuple(tensor.sizes().vec());
    out.tuple(row_major_strides(tensor.sizes()));
    out.raw("\x89");
    out.global("collections", "OrderedDict");
    out.raw(")RtR");
  }
  out.raw("u");
  return out.finish();
}

class ZipWriter {
 public:
  explicit ZipWriter(FileWriter& file) : file_(file) {}

  void add(const std::string& name, const void* data, std::uint64_t size) {
    const auto crc = static_cast<std::uint32_t>(
        crc32_z(crc32_z(0, nullptr, 0), static_cast<const Bytef*>(data), size));
    const bool is_large = size >= kLimit32;
    // Padding goes into an extra field of its own ("FB"), as in PyTorch's writer.
    const std::uint64_t zip64 = is_large ? 20 : 0;
    const std::uint64_t head = position_ + 30 + name.size() + zip64 + 4;
    const std::uint64_t padding = (kAlignment - head % kAlignment) % kAlignment;
    std::string local;
    put(local, std::uint32_t{0x04034b50});
    common_fields(local, crc, is_large ? kLimit32 : size, is_large ? kLimit32 : size);
    put(local, static_cast<std::uint16_t>(name.size()));
    put(local, static_cast<std::uint16_t>(zip64 + 4 + padding));
    local += name;
    if (is_large) {
      put(local, std::uint16_t{1});
      put(local, std::uint16_t{16});
      put(local, size);
      put(local, size);
    }
    local += "FB";
    put(local, static_cast<std::uint16_t>(padding));
    local.append(padding, 'Z');
    directory_ += directory_entry(name, crc, size);
    write(local.data(), local.size());
    write(data, size);
    ++count_;
  }

  void finish() {
    const std::uint64_t begin = position_;
    const std::uint64_t size = directory_.size();
    std::string end = directory_;
    put(end, std::uint32_t{0x06064b50});
    put(end, std::uint64_t{44});
    put(end, std::uint16_t{45});
    put(end, std::uint16_t{45});
    put(end, std::uint64_t{0});
    put(end, count_);
    put(end, count_);
    put(end, size);
    put(end, begin);
    put(end, std::uint32_t{0x07064b50});
    put(end, std::uint32_t{0});
    put(end, begin + size);
    put(end, std::uint32_t{1});
    put(end, std::uint32_t{0x06054b50});
    put(end, std::uint32_t{0});
    const auto count16 = static_cast<std::uint16_t>(std::min<std::uint64_t>(count_, 0xFFFF));
    put(end, count16);
    put(end, count16);
    put(end, static_cast<std::uint32_t>(std::min(size, kLimit32)));
    put(end, static_cast<std::uint32_t>(std::min(begin, kLimit32)));
    put(end, std::uint16_t{0});
    write(end.data(), end.size());
  }

 private:
  static void common_fields(std::string& out, std::uint32_t crc, std::uint64_t packed,
                            std::uint64_t size) {
    put(out, std::uint16_t{45});  // version needed: ZIP64
    put(out, std::uint16_t{0});   // flags
    put(out, std::uint16_t{0});   // stored
    put(out, std::uint32_t{0});   // no time stamp
    put(out, crc);
    put(out, static_cast<std::uint32_t>(packed));
    put(out, static_cast<std::uint32_t>(size));
  }

  std::string directory_entry(const std::string& name, std::uint32_t crc,
                              std::uint64_t size) const {
    std::string extra;
    for (const std::uint64_t value : {size, size, position_}) {
      if (value >= kLimit32) put(extra, value);
    }
    std::string out;
    put(out, std::uint32_t{0x02014b50});
    put(out, std::uint16_t{45});
    common_fields(out, crc, std::min(size, kLimit32), std::min(size, kLimit32));
    put(out, static_cast<std::uint16_t>(name.size()));
    put(out, static_cast<std::uint16_t>(extra.empty() ? 0 : extra.size() + 4));
    out.append(10, '\0');  // comment, disk, attributes
    put(out, static_cast<std::uint32_t>(std::min(position_, kLimit32)));
    out += name;
    if (!extra.empty()) {
      put(out, std::uint16_t{1});
      put(out, static_cast<std::uint16_t>(extra.size()));
      out += extra;
    }
    return out;
  }

  void write(const void* data, std::uint64_t size) {
    file_.write(data, size);
    position_ += size;
  }

  FileWriter& file_;
  std::uint64_t position_ = 0;
  std::uint64_t count_ = 0;
  std::string directory_;
};

}  // namespace

void write_torch_file(const fs::path& path, const std::vector<NamedTensor>& tensors) {
  std::set<std::string> names;
  for (const NamedTensor& named : tensors) {
    if (!names.insert(named.name).second) {
      throw WeightsError(cat("two tensors have the name \"", named.name, "\""));
    }
  }
  replace_file(path, [&](FileWriter& file) {
    const std::string root = path.stem().string() + "/";
    const std::string pickle = pickle_of(tensors);
    ZipWriter zip(file);
    zip.add(root + "data.pkl", pickle.data(), pickle.size());
    zip.add(root + "byteorder", "little", 6);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor bytes = tensors[i].tensor.detach().to(at::kCPU).contiguous();
      zip.add(cat(root, "data/", i), bytes.const_data_ptr(), bytes.nbytes());
    }
    zip.add(root + "version", "3\n", 2);
    zip.finish();
  });
}

}  // namespace saferclip
