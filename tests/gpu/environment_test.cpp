// The environment variables of the fake CUDA device. They are read once, so each test runs this
// binary anew with one of its hidden tests.
#include <ATen/DeviceAccelerator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "on_fake_device.h"

namespace saferclip {
namespace {

using FakeEnvironment = FakeDevice;

std::string run_again(const std::string& environment, const std::string& test, int& status) {
  const std::string self = std::string("/proc/") + std::to_string(::getpid()) + "/exe";
  const std::string command = environment + " " + self + " --gtest_also_run_disabled_tests" +
                              " --gtest_filter=InChild.DISABLED_" + test + " 2>&1";
  std::ostringstream output;
  FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) output << buffer;
  status = ::pclose(pipe);
  return output.str();
}

TEST(InChild, DISABLED_HasNoCard) {
  EXPECT_FALSE(at::hasCUDA());
  EXPECT_TRUE(at::detail::getCUDAHooks().isBuilt());
  EXPECT_EQ(at::accelerator::deviceCount(), 0);
  EXPECT_TRUE(contains(refusal([] { at::empty({1}, kFloats); }), "no CUDA-capable device"));
  EXPECT_TRUE(contains(refusal([] { at::ones({1}).to(kCuda); }), "no CUDA-capable device"));
  EXPECT_NE(refusal([] { at::ones({1}).pin_memory(); }), "");
}

TEST(InChild, DISABLED_AddsTwice) {
  const at::Tensor x = at::ones({2}).to(kCuda);
  EXPECT_EQ(x.add(1).add(1).sum().item<float>(), 6);
}

TEST_F(FakeEnvironment, OfACudaBuildWithoutACard) {
  int status = 0;
  const std::string output = run_again("FAKE_CUDA_COUNT=0", "HasNoCard", status);
  EXPECT_EQ(status, 0) << output;
  EXPECT_TRUE(contains(output, "[  PASSED  ] 1 test")) << output;
}

TEST(InChild, DISABLED_HasCapability75) {
  int major = 0, minor = 0;
  const auto ask =
      reinterpret_cast<int (*)(int*, int, int)>(::dlsym(RTLD_DEFAULT, "cuDeviceGetAttribute"));
  ASSERT_NE(ask, nullptr);
  EXPECT_EQ(ask(&major, 75, 0) + ask(&minor, 76, 1), 0);
  EXPECT_EQ(major * 10 + minor, 75);
  EXPECT_NE(ask(&major, 75, 2), 0);
  // Without bf16 units attention in bf16 is made of products.
  const at::Tensor q = at::randn({1, 2, 4, 8}).to(kCuda).to(at::kBFloat16);
  EXPECT_EQ(at::_fused_sdp_choice(q, q, q), 0);
  EXPECT_EQ(at::_fused_sdp_choice(q.to(at::kHalf), q.to(at::kHalf), q.to(at::kHalf)), 2);
}

TEST_F(FakeEnvironment, OfAnOlderCard) {
  int status = 0;
  const std::string output = run_again("FAKE_CUDA_CAPABILITY=7.5", "HasCapability75", status);
  EXPECT_EQ(status, 0) << output;
  EXPECT_TRUE(contains(output, "[  PASSED  ] 1 test")) << output;
}

TEST_F(FakeEnvironment, IsLostByTheEnvironment) {
  int status = 0;
  const std::string output = run_again("FAKE_CUDA_LOSE_AFTER=1", "AddsTwice", status);
  EXPECT_NE(status, 0);
  EXPECT_TRUE(contains(output, "unspecified launch failure")) << output;
}

TEST_F(FakeEnvironment, RefusesSettingsItCannotRead) {
  int status = 0;
  EXPECT_TRUE(contains(run_again("FAKE_CUDA_COUNT=two", "AddsTwice", status), "FAKE_CUDA_COUNT"));
  EXPECT_NE(status, 0);
}

TEST_F(FakeEnvironment, WritesItsReports) {
  const std::string report = ::testing::TempDir() + "report.json";
  const std::string operators = ::testing::TempDir() + "operators.txt";
  int status = 0;
  run_again("FAKE_CUDA_REPORT=" + report + " FAKE_CUDA_OPERATORS=" + operators, "AddsTwice",
            status);
  EXPECT_EQ(status, 0);
  const auto read = [](const std::string& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  };
  EXPECT_TRUE(contains(read(report), "\"kernels\": 3,")) << read(report);
  EXPECT_TRUE(contains(read(report), "\"aten::add.out\": 2")) << read(report);
  EXPECT_TRUE(contains(read(report), "\"peak_bytes_0\": ")) << read(report);
  EXPECT_TRUE(contains(read(operators), "aten::add.out\n")) << read(operators);
}

}  // namespace
}  // namespace saferclip
