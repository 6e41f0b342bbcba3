// ONNX files. All sizes are known before the first byte is written, so tensors pass through one at
// a time: the length of the graph is that of its nodes and of each tensor's head and data.
#include "export/onnx_graph.h"

#include <ATen/ATen.h>

#include <functional>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kIrVersion = 8;  // the first with operator set 17

// Field numbers, by message.
namespace model_field {
enum { kIrVersion = 1, kProducer = 2, kProducerVersion = 3, kGraph = 7, kOpset = 8 };
}
namespace opset_field {
enum { kVersion = 2 };
}
namespace graph_field {
enum { kNode = 1, kName = 2, kInitializer = 5, kInput = 11, kOutput = 12 };
}
namespace node_field {
enum { kInput = 1, kOutput = 2, kName = 3, kOp = 4, kAttribute = 5 };
}
namespace attribute_field {
enum { kName = 1, kFloat = 2, kInteger = 3, kIntegers = 8, kType = 20 };
}
namespace attribute_type {
enum : std::int64_t { kFloat = 1, kInteger = 2, kIntegers = 7 };
}
namespace value_field {
enum { kName = 1, kType = 2, kTensorType = 1, kElementType = 1, kShape = 2, kDimension = 1 };
}
namespace dimension_field {
enum { kValue = 1, kName = 2 };
}
namespace tensor_field {
enum { kShape = 1, kType = 2, kName = 8, kRawData = 9, kExternalData = 13, kLocation = 14 };
}

constexpr std::uint64_t kDataAlignment = 4096;     // lets readers map the tensors of a data file
constexpr std::uint64_t kSmallestExternal = 1024;  // bytes; shape inference reads smaller ones

ProtobufMessage attribute_message(const std::string& name, const OnnxAttribute& value) {
  using namespace attribute_field;
  ProtobufMessage message;
  message.add(kName, name);
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return message.add(kInteger, *number).add(kType, attribute_type::kInteger);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return message.add(kFloat, static_cast<float>(*real)).add(kType, attribute_type::kFloat);
  }
  for (const std::int64_t number : std::get<std::vector<std::int64_t>>(value)) {
    message.add(kIntegers, number);
  }
  return message.add(kType, attribute_type::kIntegers);
}

ProtobufMessage value_message(const std::string& name, at::ScalarType type,
                              const std::vector<OnnxExtent>& extents) {
  using namespace value_field;
  ProtobufMessage shape;
  for (const OnnxExtent& extent : extents) {
    ProtobufMessage dimension;
    if (const auto* number = std::get_if<std::int64_t>(&extent)) {
      dimension.add(dimension_field::kValue, *number);
    } else {
      dimension.add(dimension_field::kName, std::get<std::string>(extent));
    }
    shape.add(kDimension, dimension);
  }
  const ProtobufMessage tensor =
      ProtobufMessage().add(kElementType, onnx_type(type)).add(kShape, shape);
  return ProtobufMessage().add(kName, name).add(kType, ProtobufMessage().add(kTensorType, tensor));
}

std::uint64_t data_bytes(const OnnxInitializer& tensor) {
  return static_cast<std::uint64_t>(tensor.value.numel()) * c10::elementSize(tensor.type);
}

void write_data(FileWriter& writer, const OnnxInitializer& tensor) {
  const at::Tensor data = tensor.value.detach().to(at::kCPU).to(tensor.type).contiguous();
  writer.write(data.const_data_ptr(), data.nbytes());
}

// TensorProto as far as the data.
ProtobufMessage tensor_head(const OnnxInitializer& tensor) {
  return ProtobufMessage()
      .add_packed(tensor_field::kShape, tensor.value.sizes())
      .add(tensor_field::kType, onnx_type(tensor.type))
      .add(tensor_field::kName, tensor.name);
}

// A whole TensorProto whose data is elsewhere.
ProtobufMessage external_tensor(const OnnxInitializer& tensor, const std::string& file,
                                std::uint64_t offset) {
  constexpr std::int64_t kExternal = 1;
  const auto entry = [](const std::string& key, const std::string& value) {
    return ProtobufMessage().add(1, key).add(2, value);
  };
  return tensor_head(tensor)
      .add(tensor_field::kExternalData, entry("location", file))
      .add(tensor_field::kExternalData, entry("offset", std::to_string(offset)))
      .add(tensor_field::kExternalData, entry("length", std::to_string(data_bytes(tensor))))
      .add(tensor_field::kLocation, kExternal);
}

// What is written of a tensor into the graph: bytes, and its data after them unless that is in
// another file.
struct TensorPart {
  ProtobufMessage bytes;
  const OnnxInitializer* data = nullptr;
  std::uint64_t size() const { return bytes.bytes().size() + (data ? data_bytes(*data) : 0); }
};

TensorPart inline_part(const OnnxInitializer& tensor) {
  ProtobufMessage content = tensor_head(tensor).open(tensor_field::kRawData, data_bytes(tensor));
  ProtobufMessage bytes;
  bytes.open(graph_field::kInitializer, content.bytes().size() + data_bytes(tensor));
  return {bytes.append(content), &tensor};
}

void write_model(const OnnxGraph& graph, const fs::path& file,
                 const std::vector<TensorPart>& parts) {
  std::uint64_t size = graph.message().bytes().size();
  const ProtobufMessage name = ProtobufMessage().add(graph_field::kName, graph.name());
  size += name.bytes().size();
  for (const TensorPart& part : parts) size += part.size();
  const ProtobufMessage head =
      ProtobufMessage()
          .add(model_field::kIrVersion, kIrVersion)
          .add(model_field::kProducer, "saferclip")
          .add(model_field::kProducerVersion, SAFERCLIP_VERSION)
          .add(model_field::kOpset, ProtobufMessage().add(opset_field::kVersion, kOnnxOpset))
          .open(model_field::kGraph, size);
  replace_file(file, [&](FileWriter& writer) {
    for (const ProtobufMessage* message : {&head, &graph.message(), &name}) {
      writer.write(message->bytes().data(), message->bytes().size());
    }
    for (const TensorPart& part : parts) {
      writer.write(part.bytes.bytes().data(), part.bytes.bytes().size());
      if (part.data != nullptr) write_data(writer, *part.data);
    }
  });
}

// Writes the larger tensors into a file of their own and returns all parts of the graph.
std::vector<TensorPart> write_external(const OnnxGraph& graph, const fs::path& file) {
  std::vector<TensorPart> parts;
  replace_file(file, [&](FileWriter& writer) {
    std::uint64_t offset = 0;
    for (const OnnxInitializer& tensor : graph.initializers()) {
      if (data_bytes(tensor) < kSmallestExternal) {
        parts.push_back(inline_part(tensor));
        continue;
      }
      const std::string padding((kDataAlignment - offset % kDataAlignment) % kDataAlignment, '\0');
      writer.write(padding.data(), padding.size());
      offset += padding.size();
      parts.push_back({ProtobufMessage().add(
          graph_field::kInitializer, external_tensor(tensor, file.filename().string(), offset))});
      write_data(writer, tensor);
      offset += data_bytes(tensor);
    }
  });
  return parts;
}

}  // namespace

std::int64_t onnx_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return 1;
    case at::kInt:
      return 6;
    case at::kLong:
      return 7;
    case at::kHalf:
      return 10;
    default:
      throw Error(cat("no ONNX type for ", c10::toString(type)), 1);
  }
}

void OnnxGraph::add_input(const std::string& name, at::ScalarType type,
                          const std::vector<OnnxExtent>& shape) {
  message_.add(graph_field::kInput, value_message(name, type, shape));
}

void OnnxGraph::add_output(const std::string& name, at::ScalarType type,
                           const std::vector<OnnxExtent>& shape) {
  message_.add(graph_field::kOutput, value_message(name, type, shape));
}

std::string OnnxGraph::add_initializer(const std::string& name, const at::Tensor& value,
                                       at::ScalarType type) {
  initializers_.push_back({name, value, type});
  return name;
}

std::string OnnxGraph::integers(const std::vector<std::int64_t>& values) {
  std::string name = "integers";
  for (const std::int64_t value : values) name += cat("_", value);
  if (constants_.emplace(name, name).second) {
    add_initializer(name, at::tensor(values, at::kLong), at::kLong);
  }
  return name;
}

std::string OnnxGraph::scalar(double value, at::ScalarType type) {
  const std::string name = cat(type == at::kLong ? "integer_" : "number_", value);
  if (constants_.emplace(name, name).second) {
    add_initializer(name, at::scalar_tensor(value, at::kDouble), type);
  }
  return name;
}

std::string OnnxGraph::node(const std::string& op, const std::vector<std::string>& inputs,
                            const OnnxAttributes& attributes, const std::string& result) {
  std::string name = cat(scope_, "/", op);
  if (const int count = counts_[name]++; count > 0) name += cat("_", count);
  ProtobufMessage message;
  for (const std::string& input : inputs) message.add(node_field::kInput, input);
  message.add(node_field::kOutput, result.empty() ? name : result);
  message.add(node_field::kName, name).add(node_field::kOp, op);
  for (const auto& [key, value] : attributes) {
    message.add(node_field::kAttribute, attribute_message(key, value));
  }
  message_.add(graph_field::kNode, message);
  return result.empty() ? name : result;
}

void write_onnx(const OnnxGraph& graph, const fs::path& file, std::uint64_t limit) {
  std::uint64_t size = graph.message().bytes().size() + kDataAlignment;  // for the model's head
  std::vector<TensorPart> parts;
  for (const OnnxInitializer& tensor : graph.initializers()) {
    parts.push_back(inline_part(tensor));
    size += parts.back().size();
  }
  if (size > limit) parts = write_external(graph, file.string() + ".data");
  write_model(graph, file, parts);
}

}  // namespace saferclip
