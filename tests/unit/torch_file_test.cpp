#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "io/pickle.h"
#include "io/zip_archive.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/io/tensor_file.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;

const fs::path kFixtures = fs::path(SAFERCLIP_FIXTURES) / "torch";

std::string refusal_of(const fs::path& file) {
  try {
    const TensorFile opened = open_tensor_file(file);
    for (const auto& [name, info] : opened.entries) {
      opened.tensor(name).to(at::kDouble).sum().item<double>();
    }
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

std::string refusal_of_bytes(const std::string& bytes) {
  const TemporaryFolder folder;
  std::ofstream(folder / "x.pt", std::ios::binary) << bytes;
  return refusal_of(folder / "x.pt");
}

TEST(TorchFileParity, EveryFormGivesTheSameTensors) {
  const auto expected = SafetensorsFile::open(kFixtures / "expected.safetensors");
  const std::map<std::string, std::string> files{
      {"zip.pt", "PyTorch zip"},           {"protocol4.pt", "PyTorch zip"},
      {"legacy.pt", "legacy PyTorch"},     {"parameters.pt", "PyTorch zip"},
      {"training.pt", "PyTorch zip"},      {"nested.pt", "PyTorch zip"},
      {"script.pt", "TorchScript archive"}};
  for (const auto& [name, format] : files) {
    const TensorFile file = open_tensor_file(kFixtures / name);
    EXPECT_EQ(file.format, format) << name;
    EXPECT_EQ(file.entries.size(), expected.entries().size()) << name;
    for (const auto& [tensor, entry] : expected.entries()) {
      ASSERT_TRUE(file.entries.contains(tensor)) << name << " " << tensor;
      const at::Tensor read = file.tensor(tensor);
      EXPECT_EQ(file.entries.at(tensor).dtype, entry.dtype) << name << " " << tensor;
      EXPECT_EQ(read.sizes(), at::IntArrayRef(entry.shape)) << name << " " << tensor;
      EXPECT_TRUE(at::equal(read, expected.tensor(tensor))) << name << " " << tensor;
    }
  }
}

TEST(TorchFile, ContentDecidesAndNotTheName) {
  const TemporaryFolder folder;
  fs::copy_file(kFixtures / "zip.pt", folder / "a.safetensors");
  fs::copy_file(kFixtures / "expected.safetensors", folder / "b.pt");
  EXPECT_EQ(open_tensor_file(folder / "a.safetensors").format, "PyTorch zip");
  EXPECT_EQ(open_tensor_file(folder / "b.pt").format, "safetensors");
}

TEST(TorchFile, ForbiddenObjectsAreNamed) {
  for (const char* file : {"forbidden.pt", "forbidden_legacy.pt"}) {
    EXPECT_THAT(refusal_of(kFixtures / file), HasSubstr("\"posix.system\""));
  }
  EXPECT_THAT(refusal_of(kFixtures / "module.pt"), HasSubstr("torch.nn.modules.linear.Linear"));
  const auto read = [](const std::string& bytes) {
    read_pickle(bytes, "x", [](const std::string& name) { return name == "a.b"; });
  };
  EXPECT_NO_THROW(
      read("\x80\x02"
           "ca\nb\n."));
  EXPECT_THROW(read("\x80\x02"
                    "cbuiltins\neval\n."),
               WeightsError);
  EXPECT_THROW(read("\x80\x04\x8c\x02os\x8c\x06system\x93."), WeightsError);
}

TEST(TorchFile, NotesSayWhatWasUnwrapped) {
  EXPECT_THAT(open_tensor_file(kFixtures / "training.pt").notes,
              ::testing::ElementsAre(HasSubstr("state_dict"), HasSubstr("module."),
                                     HasSubstr("_orig_mod.")));
}

TEST(TorchFile, WhatIsWrittenIsReadBack) {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> written{{"a", at::rand({3, 4}).t()},
                                         {"b.c", at::rand({5}).to(at::kHalf)},
                                         {"d", at::rand({2, 1, 3}).to(at::kBFloat16)},
                                         {"e", at::scalar_tensor(1.5)},
                                         {"f", at::empty({0, 2})},
                                         {"g", at::arange(4)}};
  write_torch_file(folder / "model.pt", written);
  const TensorFile file = open_tensor_file(folder / "model.pt");
  ASSERT_EQ(file.entries.size(), written.size());
  for (const NamedTensor& named : written) {
    EXPECT_TRUE(at::equal(file.tensor(named.name), named.tensor)) << named.name;
    EXPECT_EQ(file.tensor(named.name).scalar_type(), named.tensor.scalar_type());
  }
  const std::string first = read_file(folder / "model.pt");
  write_torch_file(folder / "model.pt", written);
  EXPECT_EQ(read_file(folder / "model.pt"), first);
  EXPECT_THROW(write_torch_file(folder / "x.pt", {{"a", at::rand({1})}, {"a", at::rand({1})}}),
               WeightsError);
}

// Every beginning of a file, and every byte changed: refused or read, never a crash.
TEST(TorchFile, DamagedFilesAreRefused) {
  for (const char* name : {"zip.pt", "legacy.pt", "script.pt"}) {
    const std::string whole = read_file(kFixtures / name);
    for (std::size_t size = 0; size < whole.size(); size += 7) {
      EXPECT_NE(refusal_of_bytes(whole.substr(0, size)), "accepted") << name << " " << size;
    }
    for (std::size_t at = 0; at < whole.size(); at += 3) {
      for (const char value : {'\0', '\xff', '\x81'}) {
        std::string damaged = whole;
        damaged[at] = value;
        refusal_of_bytes(damaged);
      }
    }
  }
}

std::string pickle_refusal(const std::string& bytes) {
  try {
    read_pickle(bytes, "x", [](const std::string&) { return true; });
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Pickle, HostileStreams) {
  EXPECT_THAT(pickle_refusal(""), HasSubstr("truncated"));
  EXPECT_THAT(pickle_refusal("."), HasSubstr("stack is empty"));
  EXPECT_THAT(pickle_refusal("N0N"), HasSubstr("truncated"));
  EXPECT_THAT(pickle_refusal("t."), HasSubstr("no mark"));
  EXPECT_THAT(pickle_refusal("h\x05."), HasSubstr("nothing is memoized"));
  EXPECT_THAT(pickle_refusal("X\xff\xff\xff\x7f"), HasSubstr("truncated"));
  EXPECT_THAT(pickle_refusal("(NNNu."), AnyOf(HasSubstr("key without"), HasSubstr("empty")));
  EXPECT_THAT(pickle_refusal("NNa."), HasSubstr("non-container"));
  EXPECT_THAT(pickle_refusal("NNR."), HasSubstr("not a global"));
  EXPECT_THAT(pickle_refusal("NNb."), HasSubstr("not an object"));
  EXPECT_THAT(pickle_refusal("\x80\x09N."), HasSubstr("protocol"));
  EXPECT_THAT(pickle_refusal("(i__main__\nX\n."), HasSubstr("opcode"));
  EXPECT_THAT(pickle_refusal("(N0t."), HasSubstr("accepted"));
  EXPECT_THAT(pickle_refusal("N(0."), HasSubstr("stack is empty"));
  // A list that contains itself, and a million levels of tuples.
  EXPECT_EQ(pickle_refusal("]q\x01h\x01"
                           "a."),
            "accepted");
  EXPECT_EQ(pickle_refusal(")" + std::string(1'000'000, '\x85') + "."), "accepted");
  EXPECT_THAT(pickle_refusal(std::string(3'000'000, 'N') + "."), HasSubstr("two million"));
}

template <class Number>
std::string le(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

struct Member {
  std::string name;
  std::string data;
  std::uint32_t claimed_size = 0xFFFFFFFE;  // that: its own
  std::uint32_t place = 0xFFFFFFFE;
  std::uint16_t method = 0;
  std::string extra = {};
};

std::string zip_of(const std::vector<Member>& members, std::uint16_t claimed_count = 0xFFFE) {
  std::string out;
  std::string directory;
  for (const Member& m : members) {
    const auto own = static_cast<std::uint32_t>(m.data.size());
    const std::uint32_t size = m.claimed_size == 0xFFFFFFFE ? own : m.claimed_size;
    const auto place = m.place == 0xFFFFFFFE ? static_cast<std::uint32_t>(out.size()) : m.place;
    const auto name_size = static_cast<std::uint16_t>(m.name.size());
    const std::string common = le<std::uint16_t>(0) + le(m.method) + le<std::uint32_t>(0) +
                               le<std::uint32_t>(0) + le(size) + le(size) + le(name_size);
    out += "PK\3\4" + le<std::uint16_t>(20) + common + le<std::uint16_t>(0) + m.name + m.data;
    directory += "PK\1\2" + le<std::uint16_t>(20) + le<std::uint16_t>(20) + common +
                 le(static_cast<std::uint16_t>(m.extra.size())) + std::string(10, '\0') +
                 le(place) + m.name + m.extra;
  }
  const auto count =
      claimed_count == 0xFFFE ? static_cast<std::uint16_t>(members.size()) : claimed_count;
  return out + directory + "PK\5\6" + std::string(4, '\0') + le(count) + le(count) +
         le(static_cast<std::uint32_t>(directory.size())) +
         le(static_cast<std::uint32_t>(out.size())) + le<std::uint16_t>(0);
}

std::string zip_refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.zip", bytes);
  try {
    const ZipArchive archive = ZipArchive::open(MappedFile::open(folder / "x.zip"));
    for (const auto& [name, member] : archive.members()) archive.bytes(name);
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Zip, HostileArchives) {
  EXPECT_EQ(zip_refusal(zip_of({{"a", "xyz"}, {"b/c", ""}})), "accepted");
  EXPECT_THAT(zip_refusal("PK\3\4"), HasSubstr("shorter"));
  EXPECT_THAT(zip_refusal(zip_of({{"a", "xyz"}}) + "tail"), HasSubstr("no directory at its end"));
  for (const char* name : {"../a", "a/../../b", "/etc/passwd", "a\\b", ""}) {
    EXPECT_THAT(zip_refusal(zip_of({{name, "x"}})), HasSubstr("points outside the archive"))
        << name;
  }
  EXPECT_THAT(zip_refusal(zip_of({{"a", "x"}, {"a", "y"}})), HasSubstr("twice"));
  EXPECT_THAT(zip_refusal(zip_of({{"a", "xyz", 1000}})), HasSubstr("exceeds the file"));
  EXPECT_THAT(zip_refusal(zip_of({{"a", "x", 0xFFFFFFFE, 0x7FFFFFFF}})), HasSubstr("exceeds"));
  EXPECT_THAT(zip_refusal(zip_of({{"a", "x"}}, 60000)), HasSubstr("claims 60000 members"));
  EXPECT_THAT(zip_refusal(zip_of({{"a", "xyz", 0xFFFFFFFE, 0xFFFFFFFE, 8}})),
              HasSubstr("compressed"));
  // A second directory entry for the first member's bytes, under the name they carry: a bomb of
  // overlapping members needs equal names in header and directory, so the name differs.
  EXPECT_THAT(zip_refusal(zip_of({{"a", "xyz"}, {"b", "xyz", 3, 0}})), HasSubstr("another name"));
}

// Trees that contain themselves: a dict under its own key, a module that is its own child.
TEST(TorchFile, CyclesInTheTreeAreRefused) {
  const std::string key = "X" + le<std::uint32_t>(5) + "model";
  const std::string own_entry = "\x80\x02}q\x01" + key + "h\x01s.";
  EXPECT_THAT(refusal_of_bytes(zip_of({{"a/data.pkl", own_entry}})), HasSubstr("no named tensors"));
  const std::string own_child =
      "\x80\x02" + std::string("c__torch__\nM\n)\x81q\x01}") + key + "h\x01s" + "b.";
  EXPECT_THAT(refusal_of_bytes(zip_of({{"a/data.pkl", own_child}, {"a/constants.pkl", ""}})),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(refusal_of_bytes(zip_of({{"a/data.pkl", own_child}})), HasSubstr("__torch__.M"));
}

TEST(Zip, Zip64SizesAreRead) {
  const std::string extra =
      le<std::uint16_t>(1) + le<std::uint16_t>(16) + le<std::uint64_t>(3) + le<std::uint64_t>(3);
  EXPECT_EQ(zip_refusal(zip_of({{"a", "xyz", 0xFFFFFFFF, 0, 0, extra}})), "accepted");
  const std::string large = le<std::uint16_t>(1) + le<std::uint16_t>(16) +
                            le<std::uint64_t>(UINT64_MAX - 2) + le<std::uint64_t>(UINT64_MAX - 2);
  EXPECT_THAT(zip_refusal(zip_of({{"a", "xyz", 0xFFFFFFFF, 0, 0, large}})),
              HasSubstr("exceeds the file"));
  EXPECT_THAT(zip_refusal(zip_of({{"a", "xyz", 0xFFFFFFFF, 0, 0, le<std::uint32_t>(1)}})),
              HasSubstr("ZIP64"));
}

}  // namespace
}  // namespace saferclip
