#include "saferclip/io/safetensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;

std::string with_length(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.safetensors", bytes);
  try {
    SafetensorsFile::open(folder / "x.safetensors");
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Safetensors, RoundTripOfEveryDtype) {
  const TemporaryFolder folder;
  std::vector<NamedTensor> written;
  for (const auto type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble, at::kLong, at::kInt,
                          at::kShort, at::kChar, at::kByte, at::kBool}) {
    written.push_back({std::string("t.") + c10::toString(type),
                       at::arange(6, at::kFloat).reshape({2, 3}).to(type)});
  }
  written.push_back({"scalar", at::scalar_tensor(2.5)});
  written.push_back({"empty", at::empty({0, 4})});
  written.push_back({"transposed", at::rand({3, 5}).t()});
  write_safetensors(folder / "a.safetensors", written, {{"note", "hello"}});
  const auto file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_EQ(file.metadata().at("note"), "hello");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.entries().size(), written.size());
  for (const auto& [name, tensor] : written) {
    const at::Tensor read = file.tensor(name);
    EXPECT_EQ(read.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(read.sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(read, tensor)) << name;
  }
  write_safetensors(folder / "b.safetensors", written, {{"note", "hello"}});
  EXPECT_EQ(read_file(folder / "a.safetensors"), read_file(folder / "b.safetensors"));
}

TEST(Safetensors, TensorOutlivesTheFileObject) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"x", at::full({1000}, 3.0F)}});
  const at::Tensor x = SafetensorsFile::open(folder / "a.safetensors").tensor("x");
  EXPECT_EQ(x.sum().item<float>(), 3000.0F);
}

TEST(Safetensors, RefusesHostileHeaders) {
  const std::string entry = R"("dtype":"F32","shape":[2],"data_offsets":)";
  EXPECT_THAT(refusal(""), HasSubstr("0 bytes"));
  EXPECT_THAT(refusal("abc"), HasSubstr("3 bytes"));
  EXPECT_THAT(refusal(std::string(8, '\xFF')), HasSubstr("the header claims"));
  EXPECT_THAT(refusal(std::string("\x10\0\0\0\0\0\0\0{}", 10)), HasSubstr("truncated"));
  EXPECT_THAT(refusal(with_length("[]")), HasSubstr("does not start"));
  EXPECT_THAT(refusal(with_length("{\"a\":")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with_length("{\"a\xFF\":1}")), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(with_length("{\"a\":{" + entry + "[0,8]}}", "1234")), HasSubstr("exceed"));
  EXPECT_THAT(refusal(with_length("{\"a\":{" + entry + "[0,4]}}", "1234")), HasSubstr("need 8"));
  EXPECT_THAT(refusal(with_length("{\"a\":{" + entry + "[4,12]}}", "123412341234")),
              HasSubstr("gap"));
  EXPECT_THAT(
      refusal(with_length("{\"a\":{" + entry + "[0,8]},\"b\":{" + entry + "[0,8]}}", "12345678")),
      HasSubstr("overlap"));
  EXPECT_THAT(refusal(with_length("{\"a\":{" + entry + "[0,8]}}", "123456789")),
              HasSubstr("the file at"));
  EXPECT_THAT(
      refusal(with_length("{\"a\":{" + entry + "[0,8]},\"a\":{" + entry + "[0,8]}}", "12345678")),
      HasSubstr("twice"));
  EXPECT_THAT(
      refusal(with_length(R"({"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}})", "1234")),
      HasSubstr("unknown dtype"));
  EXPECT_THAT(
      refusal(with_length(
          R"({"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}})", "1234")),
      HasSubstr("overflow"));
  EXPECT_THAT(
      refusal(with_length(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234")),
      HasSubstr("non-negative"));
  EXPECT_THAT(refusal(with_length(R"({"__metadata__":null})")), HasSubstr("__metadata__"));
  EXPECT_THAT(refusal(with_length(R"({"__metadata__":{"a":1}})")), HasSubstr("not a string"));
  EXPECT_THAT(refusal(with_length("{\"a\":" + std::string(100000, '['))), HasSubstr("valid"));
  EXPECT_EQ(refusal(with_length(R"({"__metadata__":{}})")), "accepted");
}

TEST(Safetensors, NamesWhatIsMissing) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"x", at::ones({2})}});
  const auto file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_THROW(file.tensor("y"), WeightsError);
  EXPECT_THROW(
      write_safetensors(folder / "b.safetensors", {{"x", at::ones(1)}, {"x", at::ones(1)}}),
      WeightsError);
  EXPECT_FALSE(std::filesystem::exists(folder / "b.safetensors"));
  EXPECT_THROW(SafetensorsFile::open(folder / "none"), WeightsError);
}

}  // namespace
}  // namespace saferclip
