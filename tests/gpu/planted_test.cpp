// Defects planted on purpose: the fake CUDA device has to catch each. What it lets pass could be
// wrong on a card without a test that fails here.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/DeviceAccelerator.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cmath>
#include <cstring>

#include "on_fake_device.h"

namespace saferclip {
namespace {

using ::testing::ExitedWithCode;

class FakeDeviceMemory : public FakeDevice {};
using FakeDeviceDeathTest = FakeDevice;

TEST_F(FakeDevice, IsTheAccelerator) {
  EXPECT_TRUE(at::hasCUDA());
  EXPECT_EQ(at::getAccelerator(), c10::kCUDA);
  EXPECT_EQ(at::accelerator::deviceCount(), 2);
  EXPECT_TRUE(x_.is_cuda());
}

TEST_F(FakeDeviceDeathTest, HostCodeReadsDeviceMemory) {
  EXPECT_DEATH(
      {
        volatile float value = *x_.const_data_ptr<float>();
        (void)value;
      },
      "fake CUDA: host code touched device memory");
}

TEST_F(FakeDeviceDeathTest, HostCodeWritesDeviceMemory) {
  EXPECT_DEATH(std::memset(x_.mutable_data_ptr(), 0, 4), "host code touched device memory");
}

TEST_F(FakeDeviceDeathTest, AViewOfDeviceMemoryAsACpuTensor) {
  EXPECT_DEATH(at::from_blob(x_.mutable_data_ptr(), {4, 8}, at::kFloat).sum(),
               "host code touched device memory");
}

TEST_F(FakeDevice, OperandsOnTheCpu) {
  const at::Tensor cpu = at::randn({4, 8});
  const std::string same = "xpected all tensors to be on the same device";
  EXPECT_TRUE(contains(refusal([&] { x_.mul(cpu); }), same));
  EXPECT_TRUE(contains(refusal([&] { cpu.mul(x_); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::mm(x_, cpu.t()); }), same));
  EXPECT_TRUE(contains(refusal([&] { x_.add_(cpu); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::cat({x_, cpu}); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::stack({x_.sum(), at::zeros({})}); }), same));
  EXPECT_TRUE(contains(refusal([&] { x_.index_select(0, at::tensor({1, 2}, at::kLong)); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::embedding(x_, at::tensor({1, 2}, at::kLong)); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::_foreach_add_({x_}, {cpu}); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::_foreach_mul_({x_}, at::ones({})); }), same));
  EXPECT_TRUE(contains(refusal([&] { at::where(x_ > 0, x_, cpu); }), same));
}

TEST_F(FakeDevice, ResultsOnTheCpu) {
  at::Tensor sum = at::zeros({});
  EXPECT_NE(refusal([&] { sum.add_(x_.sum()); }), "");
}

TEST_F(FakeDevice, CpuScalarsWhereCudaTakesThem) {
  EXPECT_TRUE(at::equal((x_ * at::full({}, 2.0)).cpu(), x_.cpu() * 2));
  EXPECT_TRUE(at::equal(at::where(x_ > 0, x_, at::zeros({})).cpu(), x_.cpu().clamp_min(0)));
}

TEST_F(FakeDevice, OperandsOnTwoDevices) {
  const at::Tensor other = x_.to(c10::Device(c10::kCUDA, 1));
  EXPECT_TRUE(contains(refusal([&] { x_.add(other); }), "cuda:0 and cuda:1"));
  EXPECT_TRUE(at::equal(other.cpu(), x_.cpu()));
}

TEST_F(FakeDevice, AGeneratorOfTheCpu) {
  const at::Generator cpu = at::detail::getDefaultCPUGenerator();
  EXPECT_NE(refusal([&] { at::empty({4}, kFloats).bernoulli_(0.5, cpu); }), "");
}

TEST_F(FakeDevice, DrawsNothingFromTheHostsGenerator) {
  at::manual_seed(7);
  const at::Tensor without = at::randn({3});
  at::manual_seed(7);
  at::randn({5}, kFloats);
  at::native_dropout(x_, 0.5, true);
  EXPECT_TRUE(at::equal(at::randn({3}), without));
}

TEST_F(FakeDevice, MixedDtypes) {
  const at::Tensor half = x_.to(at::kBFloat16);
  const at::Tensor ones = at::ones({8}, kFloats);
  EXPECT_NE(refusal([&] { at::mm(x_, half.t()); }), "");
  EXPECT_NE(refusal([&] { at::addmm(at::zeros({4}, kFloats), half, half.t()); }), "");
  EXPECT_NE(refusal([&] { at::addmv(x_.select(1, 0), half, half.select(0, 0)); }), "");
  EXPECT_NE(refusal([&] {
              at::conv2d(x_.view({1, 2, 4, 4}), at::zeros({1, 2, 2, 2}, kFloats).to(at::kBFloat16));
            }),
            "");
  EXPECT_NE(refusal([&] { at::layer_norm(half, {8}, ones, ones, 1e-5); }), "");
  EXPECT_NE(refusal([&] { at::layer_norm(x_, {8}, ones.to(at::kBFloat16), {}, 1e-5); }), "");
}

TEST_F(FakeDevice, LayerNormStatisticsAreFp32) {
  const at::Tensor half = x_.to(at::kBFloat16), weight = at::ones({8}, half.options());
  const auto [y, mean, rstd] = at::native_layer_norm(half, {8}, weight, weight, 1e-5);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_EQ(mean.scalar_type(), at::kFloat);
  const auto backward = [&](const at::Tensor& m, const at::Tensor& w) {
    return refusal([&] {
      at::native_layer_norm_backward(half, half, {8}, m, rstd, w, w, {true, true, true});
    });
  };
  EXPECT_EQ(backward(mean, weight), "");
  EXPECT_TRUE(contains(backward(mean.to(at::kBFloat16), weight), "statistics"));
  EXPECT_TRUE(contains(backward(mean, weight.to(at::kFloat)), "weight"));
}

TEST_F(FakeDevice, FusedAdamOfTwoDtypes) {
  const std::vector<at::Tensor> p{x_.clone()}, m{at::zeros_like(x_)}, v{at::zeros_like(x_)};
  const std::vector<at::Tensor> half{x_.to(at::kBFloat16)}, step{at::ones({}, kFloats)};
  EXPECT_NE(refusal([&] {
              at::_fused_adam_(p, half, m, v, {}, step, 0.1, 0.9, 0.99, 0.0, 1e-8, false, false);
            }),
            "");
}

TEST_F(FakeDevice, AnOperatorThatCudaLacks) {
  const at::Tensor q = at::randn({1, 1, 4, 8}).to(kCuda);
  EXPECT_TRUE(contains(refusal([&] { at::_scaled_dot_product_flash_attention_for_cpu(q, q, q); }),
                       "no CUDA kernel"));
  EXPECT_TRUE(contains(refusal([&] { at::histogram(x_, 4); }), "no CUDA kernel"));
}

TEST_F(FakeDevice, FreshMemoryIsNan) {
  EXPECT_TRUE(std::isnan(at::empty({4}, kFloats).sum().item<float>()));
  EXPECT_TRUE(at::empty({4}, kFloats.dtype(at::kBFloat16)).isnan().all().item<bool>());
}

TEST_F(FakeDevice, ADownloadReadBeforeItArrived) {
  at::Tensor late = at::zeros({4, 8}, kPinned);
  late.copy_(x_, /*non_blocking=*/true);
  EXPECT_TRUE(std::isnan(late.const_data_ptr<float>()[0]));
  x_.add_(1);  // a kernel that uses the source is no wait
  EXPECT_TRUE(std::isnan(late.const_data_ptr<float>()[0]));
  wait_for_event();
  EXPECT_EQ(late.const_data_ptr<float>()[0], x_.cpu().const_data_ptr<float>()[0] - 1);
  EXPECT_EQ(fake_.count("late_downloads"), 1U);
  EXPECT_EQ(fake_.count("event_waits"), 1U);
}

TEST_F(FakeDevice, AnEventThatIsAskedTooEarly) {
  at::Tensor late = at::zeros({4, 8}, kPinned);
  late.copy_(x_, /*non_blocking=*/true);
  c10::Event event(c10::kCUDA);
  event.record(c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(kCuda));
  EXPECT_FALSE(event.query());
  EXPECT_TRUE(event.query());
  EXPECT_FALSE(std::isnan(late.const_data_ptr<float>()[0]));
}

TEST_F(FakeDevice, APinnedBufferChangedBeforeItsUploadEnded) {
  at::Tensor buffer = at::ones({16}, kPinned);
  const at::Tensor moved = buffer.to(kCuda, /*non_blocking=*/true);
  buffer.fill_(2);
  EXPECT_EQ(moved.sum().item<float>(), 32);
  EXPECT_EQ(fake_.take_races(), 1U);
}

TEST_F(FakeDevice, APinnedBufferChangedAfterAKernelWasAskedFor) {
  at::Tensor buffer = at::ones({16}, kPinned);
  const at::Tensor sum = buffer.to(kCuda, /*non_blocking=*/true).sum();
  buffer.fill_(2);  // the kernel was asked for, which does not mean that it has run
  EXPECT_EQ(sum.item<float>(), 16);
  EXPECT_EQ(fake_.take_races(), 1U);
}

TEST_F(FakeDevice, APinnedBufferChangedAfterAWait) {
  at::Tensor buffer = at::ones({16}, kPinned);
  const at::Tensor moved = buffer.to(kCuda, /*non_blocking=*/true);
  wait_for_event();
  buffer.fill_(2);
  EXPECT_EQ(moved.sum().item<float>(), 16);
  EXPECT_EQ(fake_.take_races(), 0U);
  EXPECT_EQ(fake_.count("pinned_uploads"), 1U);
}

TEST_F(FakeDeviceDeathTest, ARaceFailsTheProcess) {
  const auto race = [] {
    at::Tensor buffer = at::ones({16}, kPinned);
    const at::Tensor moved = buffer.to(kCuda, /*non_blocking=*/true);
    buffer.fill_(2);
    std::exit(0);
  };
  EXPECT_EXIT(race(), ExitedWithCode(86), "fake CUDA: RACE");
}

TEST_F(FakeDevice, ACopyStreamThatNobodyWaitsFor) {
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  const at::Tensor buffer = at::ones({16}, kPinned);
  at::Tensor moved = at::empty({16}, kFloats), other = at::empty({16}, kFloats);
  const c10::Stream main = guard.exchangeStream(guard.getNewStream(kCuda, 0));
  moved.copy_(buffer, /*non_blocking=*/true);
  c10::Event event(c10::kCUDA);
  event.record(guard.getStream(kCuda));
  guard.exchangeStream(main);
  EXPECT_TRUE(std::isnan(moved.sum().item<float>()));
  event.block(main);
  EXPECT_EQ(moved.sum().item<float>(), 16);
}

TEST_F(FakeDevice, ADownloadStreamThatNobodyOrders) {
  const c10::impl::VirtualGuardImpl guard(c10::kCUDA);
  const c10::Stream main = guard.getStream(kCuda), other = guard.getNewStream(kCuda, 0);
  const auto download = [&](const at::Tensor& source) {
    at::Tensor host = at::empty(source.sizes(), kPinned);
    guard.exchangeStream(other);
    host.copy_(source, /*non_blocking=*/true);
    guard.exchangeStream(main);
    return host;
  };
  const auto order = [](const c10::Stream& first, const c10::Stream& second) {
    c10::Event event(c10::kCUDA);
    event.record(first);
    event.block(second);
  };
  at::Tensor source = at::ones({16}, kFloats);
  download(source);  // not after the kernel that filled it
  EXPECT_EQ(fake_.take_races(), 1U);
  order(main, other);
  at::Tensor host = download(source);
  source.fill_(2);  // not after the download
  EXPECT_EQ(fake_.take_races(), 1U);
  order(main, other);
  host = download(source);
  order(other, main);
  source.fill_(3);
  EXPECT_EQ(fake_.take_races(), 0U);
  c10::Event done(c10::kCUDA);
  done.record(other);
  done.synchronize();
  EXPECT_EQ(host.sum().item<float>(), 32);
  // Released during the download: the allocator must know of the stream.
  for (const bool is_told : {false, true}) {
    at::Tensor temporary = at::full({16}, 4, kFloats);
    order(main, other);
    host = download(temporary);
    if (is_told) guard.recordDataPtrOnStream(temporary.storage().data_ptr(), other);
    const void* address = temporary.unsafeGetTensorImpl()->storage().data();
    temporary.reset();
    const at::Tensor next = at::full({16}, 5, kFloats);
    ASSERT_EQ(next.unsafeGetTensorImpl()->storage().data(), address);
    EXPECT_EQ(fake_.take_races(), is_told ? 0U : 1U);
    done.record(other);
    done.synchronize();
    EXPECT_EQ(host.sum().item<float>(), 64);
  }
}

TEST_F(FakeDevice, HiddenWaitsAreCounted) {
  const auto waits = [&](const auto& call) {
    const std::uint64_t before = fake_.count("waits");
    call();
    return fake_.count("waits") - before;
  };
  const at::Tensor mask = x_ > 0;
  EXPECT_EQ(waits([&] { x_.sum().item<float>(); }), 1U);
  EXPECT_EQ(waits([&] { x_.nonzero(); }), 1U);
  EXPECT_EQ(waits([&] { x_.index({mask}); }), 1U);
  EXPECT_EQ(waits([&] { x_.masked_select(mask); }), 1U);
  EXPECT_EQ(waits([&] { x_.to(at::kCPU); }), 1U);
  EXPECT_EQ(waits([&] { at::ones({3}).to(kCuda); }), 1U);
  EXPECT_EQ(waits([&] { at::tensor({1.0, 2.0}, kFloats); }), 1U);
  EXPECT_EQ(waits([&] { at::equal(x_, x_); }), 1U);
  EXPECT_EQ(waits([&] { x_.index({at::tensor({1, 2}, at::kLong)}); }), 1U);
  EXPECT_EQ(waits([&] { at::accelerator::synchronizeDevice(0); }), 1U);
  // These do not wait.
  EXPECT_EQ(waits([&] { x_.masked_fill_(mask, 0).mul_(2).sum(); }), 0U);
  EXPECT_EQ(waits([&] { x_.index_put_({mask}, at::zeros({})); }), 0U);
}

TEST_F(FakeDevice, PageableUploadsAreCounted) {
  at::ones({3}).to(kCuda, /*non_blocking=*/true);
  EXPECT_EQ(fake_.count("pageable_uploads"), 1U);
  at::ones({3}, kPinned).to(kCuda, at::kDouble, /*non_blocking=*/true);
  EXPECT_EQ(fake_.count("pageable_uploads"), 2U);  // pinned, but of another dtype
  at::empty({8, 4}, kFloats).copy_(at::ones({4, 8}, kPinned).t(), /*non_blocking=*/true);
  EXPECT_EQ(fake_.count("pageable_uploads"), 3U);  // pinned, but it lies otherwise
  EXPECT_EQ(fake_.count("pinned_uploads"), 0U);
  EXPECT_EQ(fake_.count("waits"), 0U);
}

TEST_F(FakeDevice, KernelsAreCountedByOperator) {
  at::mm(x_, x_.t());
  x_.to(at::kBFloat16);
  std::vector<at::Tensor> many(300, x_);
  at::_foreach_mul_(many, 1.0);
  EXPECT_EQ(fake_.count("aten::mm.out"), 1U);
  EXPECT_EQ(fake_.count("device_copies"), 1U);
  EXPECT_EQ(fake_.count("kernels"), 3U);
  EXPECT_EQ(fake_.count("launches"), 5U);  // 300 tensors, 110 a launch
  fake_.reset();
  EXPECT_EQ(fake_.count("kernels"), 0U);
}

TEST_F(FakeDeviceMemory, RunsOutAndIsUsableAfterwards) {
  fake_.limit_bytes(1 << 20);
  try {
    at::empty({1 << 20}, kFloats);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const c10::OutOfMemoryError& error) {
    EXPECT_TRUE(contains(error.what(), "CUDA out of memory. Tried to allocate 4 MiB"));
  }
  EXPECT_EQ(at::ones({1000}, kFloats).sum().item<float>(), 1000);
  EXPECT_EQ(at::accelerator::getDeviceStats(0).num_ooms, 1);
  EXPECT_EQ(at::accelerator::getMemoryInfo(0).second, std::size_t{1} << 20);
  fake_.limit_bytes(0);
  EXPECT_EQ(at::ones({1 << 20}, kFloats).sum().item<float>(), 1 << 20);
}

TEST_F(FakeDeviceMemory, PeakIsThatOfTensors) {
  const std::uint64_t before = fake_.peak_bytes();
  { const at::Tensor large = at::empty({1024}, kFloats); }
  EXPECT_EQ(fake_.peak_bytes() - before, 4096U);
  fake_.reset();
  EXPECT_EQ(fake_.peak_bytes(), before);
  EXPECT_EQ(at::accelerator::getDeviceStats(0).allocated_bytes[0].peak,
            static_cast<std::int64_t>(before));
}

TEST_F(FakeDeviceMemory, ADoubleFree) {
  c10::Allocator* allocator = c10::GetAllocator(c10::kCUDA);
  void* address = allocator->raw_allocate(64);
  allocator->raw_deallocate(address);
  EXPECT_TRUE(contains(refusal([&] { allocator->raw_deallocate(address); }), "double free"));
}

TEST_F(FakeDevice, ADeviceThatIsNotThere) {
  EXPECT_TRUE(contains(refusal([] { at::empty({1}, c10::Device(c10::kCUDA, 2)); }),
                       "CUDA error: invalid device ordinal"));
  EXPECT_NE(refusal([&] { x_.to(c10::Device(c10::kCUDA, 7)); }), "");
}

TEST_F(FakeDevice, IsLost) {
  const at::Tensor pinned = at::ones({4, 8}, kPinned);
  fake_.lose_after(1);
  x_.add_(1);
  EXPECT_TRUE(contains(refusal([&] { x_.add_(1); }), "CUDA error: unspecified launch failure"));
  EXPECT_THROW(x_.cpu(), c10::AcceleratorError);
  EXPECT_THROW(x_.copy_(pinned, true), c10::AcceleratorError);
  EXPECT_THROW(x_.select(0, 0).select(0, 0).item(), c10::AcceleratorError);
  EXPECT_THROW(at::accelerator::synchronizeDevice(0), c10::AcceleratorError);
  fake_.lose_after(-1);
  x_.add_(1);
}

}  // namespace
}  // namespace saferclip
