// A graph of ONNX operators and its file. Field numbers and types: onnx.proto3,
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "saferclip/io/protobuf.h"

namespace saferclip {

// 17 is the first operator set with LayerNormalization.
inline constexpr std::int64_t kOnnxOpset = 17;
// Readers refuse a protocol buffer of 2 GiB or more.
inline constexpr std::uint64_t kProtobufLimit = (std::uint64_t{1} << 31U) - 1;

// The number that ONNX gives an element type.
std::int64_t onnx_type(at::ScalarType type);

// A tensor of the file. It is converted to `type` and made contiguous only while it is written, so
// a view (a transpose, rows of a fused projection) costs no memory.
struct OnnxInitializer {
  std::string name;
  at::Tensor value;
  at::ScalarType type = at::kFloat;
};

// A number, or the name of a dimension that may differ from call to call.
using OnnxExtent = std::variant<std::int64_t, std::string>;
using OnnxAttribute = std::variant<std::int64_t, double, std::vector<std::int64_t>>;
using OnnxAttributes = std::vector<std::pair<std::string, OnnxAttribute>>;

// Nodes must be added in an order in which they can run. Values are passed by name.
class OnnxGraph {
 public:
  explicit OnnxGraph(std::string name) : name_(std::move(name)) {}

  void add_input(const std::string& name, at::ScalarType type,
                 const std::vector<OnnxExtent>& shape);
  void add_output(const std::string& name, at::ScalarType type,
                  const std::vector<OnnxExtent>& shape);
  // Returns the name.
  std::string add_initializer(const std::string& name, const at::Tensor& value,
                              at::ScalarType type);
  // An int64 [n] constant; equal ones are stored once.
  std::string integers(const std::vector<std::int64_t>& values);
  // A 0-d constant of this type; equal ones are stored once.
  std::string scalar(double value, at::ScalarType type);
  // Adds a node with one result and returns the result's name, `result` if given.
  std::string node(const std::string& op, const std::vector<std::string>& inputs,
                   const OnnxAttributes& attributes = {}, const std::string& result = "");
  // The names of later nodes begin with `scope`, as in PyTorch's exports.
  void enter(const std::string& scope) { scope_ = scope; }

  const std::string& name() const { return name_; }
  const std::vector<OnnxInitializer>& initializers() const { return initializers_; }
  // GraphProto without the initializers.
  const ProtobufMessage& message() const { return message_; }

 private:
  std::string name_;
  std::string scope_;
  std::map<std::string, int> counts_;  // of names, to keep them unique
  std::map<std::string, std::string> constants_;
  std::vector<OnnxInitializer> initializers_;
  ProtobufMessage message_;
};

// Writes the model atomically. If the file would exceed `limit` bytes, the tensors go into
// `file`.data beside it (ONNX's external data), which readers find by its name. Throws Error if
// writing fails.
void write_onnx(const OnnxGraph& graph, const std::filesystem::path& file,
                std::uint64_t limit = kProtobufLimit);

}  // namespace saferclip
