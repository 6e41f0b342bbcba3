// What the tests of the fake CUDA device share.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <string>

#include "fake_cuda.h"

namespace saferclip {

inline const c10::Device kCuda(c10::kCUDA, 0);
inline const auto kFloats = at::TensorOptions().dtype(at::kFloat).device(kCuda);
inline const auto kPinned = at::TensorOptions().dtype(at::kFloat).pinned_memory(true);

// The message of what the call throws; empty when it throws nothing.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class FakeDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fake_.is_there()) GTEST_SKIP() << "the fake device is not preloaded";
    testing::FLAGS_gtest_death_test_style = "threadsafe";
    at::manual_seed(1);
    x_ = at::randn({4, 8}).to(kCuda);
    fake_.reset();
  }
  // The host waits, as a program would for an event.
  static void wait_for_event() {
    c10::Event event(c10::kCUDA);
    event.record(c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(kCuda));
    event.synchronize();
  }
  FakeCuda fake_;
  at::Tensor x_;
};

}  // namespace saferclip
