// ONNX files byte by byte, with a reader that knows nothing but the wire format; what the graphs
// compute is compared with onnxruntime in tests/clients/onnx_clients.py.
#include "export/onnx_graph.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

// The fields of a message in order: numbers as they are, everything else as bytes.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string bytes;
};

class Fields {
 public:
  explicit Fields(std::string bytes) : bytes_(std::move(bytes)) {
    while (at_ < bytes_.size()) {
      const std::uint64_t key = varint();
      Field field{key >> 3U, 0, ""};
      switch (key & 7U) {
        case 0:
          field.value = varint();
          break;
        case 2:
          field.bytes = take(varint());
          break;
        case 5:
          field.bytes = take(4);
          break;
        default:
          throw std::runtime_error("wire type");
      }
      fields_.push_back(field);
    }
  }
  std::vector<Field> all(std::uint64_t number) const {
    std::vector<Field> found;
    for (const Field& field : fields_) {
      if (field.number == number) found.push_back(field);
    }
    return found;
  }
  Field one(std::uint64_t number) const {
    const std::vector<Field> found = all(number);
    if (found.size() != 1) throw std::runtime_error("not one field " + std::to_string(number));
    return found.front();
  }
  Fields in(std::uint64_t number) const { return Fields(one(number).bytes); }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.at(at_++));
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
  }
  std::string take(std::uint64_t size) {
    if (size > bytes_.size() - at_) throw std::runtime_error("a field is longer than the message");
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

  std::string bytes_;
  std::size_t at_ = 0;
  std::vector<Field> fields_;
};

enum Model : std::uint64_t { kIrVersion = 1, kGraph = 7, kOpset = 8 };
enum Graph : std::uint64_t { kNode = 1, kInitializer = 5 };
enum TensorField : std::uint64_t {
  kShape = 1,
  kType = 2,
  kName = 8,
  kRawData = 9,
  kExternal = 13,
  kLocation = 14
};

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

class OnnxFile : public ::testing::Test {
 protected:
  OnnxFile() : graph_("small") {
    weight_ = at::arange(600, at::kFloat).view({20, 30});
    graph_.add_input("x", at::kFloat, {"batch", 20});
    graph_.add_output("y", at::kFloat, {"batch", 30});
    // Views in another order than memory, converted while written.
    graph_.add_initializer("view", weight_.t().narrow(0, 3, 20), at::kHalf);
    graph_.add_initializer("other", weight_, at::kFloat);
    graph_.add_initializer("again", weight_ + 1, at::kFloat);
    graph_.enter("part");
    const std::string first = graph_.node("MatMul", {"x", "other"});
    const std::string second = graph_.node("MatMul", {first, "view"}, {{"axis", std::int64_t{-1}}});
    graph_.node("Reshape", {second, graph_.integers({0, -1}), graph_.integers({0, -1})}, {}, "y");
  }
  Fields graph_in(const fs::path& file) const { return Fields(read_file(file)).in(kGraph); }
  std::vector<Fields> tensors(const fs::path& file) const {
    std::vector<Fields> found;
    for (const Field& field : graph_in(file).all(kInitializer)) found.emplace_back(field.bytes);
    return found;
  }
  fs::path file() const { return folder_ / "small.onnx"; }

  TemporaryFolder folder_;
  at::Tensor weight_;
  OnnxGraph graph_;
};

TEST_F(OnnxFile, HoldsNodesAndTensors) {
  write_onnx(graph_, file());
  const Fields model(read_file(file()));
  EXPECT_EQ(model.one(kIrVersion).value, 8U);
  EXPECT_EQ(model.in(kOpset).one(2).value, 17U);
  std::vector<std::string> names;
  for (const Field& node : graph_in(file()).all(kNode)) {
    names.push_back(Fields(node.bytes).one(3).bytes);
  }
  EXPECT_THAT(names, ElementsAre("part/MatMul", "part/MatMul_1", "part/Reshape"));
  const Fields attribute = Fields(graph_in(file()).all(kNode)[1].bytes).in(5);
  EXPECT_EQ(attribute.one(3).value, ~std::uint64_t{0});  // -1 takes ten bytes
  const std::vector<Fields> written = tensors(file());
  ASSERT_EQ(written.size(), 4U);  // the constant is stored once
  EXPECT_EQ(written[0].one(kShape).bytes, std::string("\x14\x14"));
  EXPECT_EQ(written[0].one(kType).value, 10U);
  EXPECT_EQ(written[0].one(kRawData).bytes,
            bytes_of(weight_.t().narrow(0, 3, 20).to(at::kHalf).contiguous()));
  EXPECT_EQ(written[1].one(kRawData).bytes, bytes_of(weight_));
  EXPECT_EQ(written[3].one(kName).bytes, "integers_0_-1");
  EXPECT_FALSE(fs::exists(file().string() + ".data"));
}

TEST_F(OnnxFile, LargeTensorsGoIntoAFileBesideOneThatWouldBeTooLarge) {
  write_onnx(graph_, file(), 2000);
  const std::string data = read_file(file().string() + ".data");
  const std::vector<Fields> written = tensors(file());
  ASSERT_EQ(written.size(), 4U);
  EXPECT_TRUE(written[0].all(kExternal).empty());  // 800 bytes: small tensors stay
  EXPECT_EQ(written[0].one(kRawData).bytes.size(), 800U);
  EXPECT_EQ(data.size(), 4096U + weight_.nbytes());
  for (const std::size_t i : {1U, 2U}) {
    std::map<std::string, std::string> place;
    for (const Field& entry : written[i].all(kExternal)) {
      place[Fields(entry.bytes).one(1).bytes] = Fields(entry.bytes).one(2).bytes;
    }
    EXPECT_EQ(place["location"], "small.onnx.data");
    EXPECT_EQ(place["offset"], i == 1 ? "0" : "4096");
    EXPECT_EQ(data.substr(std::stoul(place["offset"]), std::stoul(place["length"])),
              bytes_of(i == 1 ? weight_ : weight_ + 1));
    EXPECT_EQ(written[i].one(kLocation).value, 1U);
    EXPECT_TRUE(written[i].all(kRawData).empty());
  }
}

TEST(Protobuf, LongNumbersAndLengths) {
  ProtobufMessage message;
  message.add(1, std::int64_t{300}).add(16, std::string_view("ab")).add(2, 1.0F);
  EXPECT_EQ(message.bytes(), std::string("\x08\xAC\x02\x82\x01\x02"
                                         "ab\x15\x00\x00\x80\x3F",
                                         13));
}

TEST(OnnxTypes, OthersAreRefused) { EXPECT_THROW(onnx_type(at::kBFloat16), Error); }

}  // namespace
}  // namespace saferclip
