// The same model on a CUDA device and on the CPU. Skips where there is no device.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "saferclip/io/safetensors.h"
#include "saferclip/model/clip_forward.h"
#include "saferclip/model/trained.h"
#include "saferclip/weights/weights.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

const std::string kFolder = std::string(SAFERCLIP_FIXTURES) + "/model/";

class GpuModel : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
    ModelOptions options;
    options.weights = kFolder + GetParam();
    source_ = open_weights(options, 0);
  }
  at::Tensor gradients(at::Device device, at::ScalarType compute) {
    ClipModel model = load_clip(source_, at::kFloat, device);
    AdapterOptions adapter;
    adapter.rank = 2;
    const auto parameters = make_trainable(model, {}, adapter, 3);
    for (const TrainedParameter& p : parameters) p.tensor.detach().add_(0.05);
    if (compute == at::kBFloat16) convert_clip(model, compute, device);
    const ForwardMode mode{compute, true, 1};
    const auto file = SafetensorsFile::open(kFolder + GetParam() + "_expected.safetensors");
    const at::Tensor image =
        encode_images(model, source_.preprocessing, file.tensor("pixels").to(device), mode);
    const at::Tensor text =
        encode_texts(model, file.tensor("ids").to(device), file.tensor("ends").to(device), mode);
    (image * text).sum().backward();
    std::vector<at::Tensor> flat;
    for (const TrainedParameter& p : parameters)
      flat.push_back(p.tensor.grad().flatten().to(at::kCPU));
    return at::cat(flat);
  }
  WeightsSource source_;
};

TEST_P(GpuModel, GradientsEqualTheCpu) {
  const at::Tensor cpu = gradients(at::kCPU, at::kFloat);
  const at::Tensor gpu = gradients(at::Device(at::kCUDA, 0), at::kFloat);
  EXPECT_LE(((cpu - gpu).norm() / cpu.norm()).item<double>(), 1e-4);
}

TEST_P(GpuModel, Bf16FollowsFp32) {
  EXPECT_GT(
      cosine(gradients(at::Device(at::kCUDA, 0), at::kBFloat16), gradients(at::kCPU, at::kFloat)),
      0.99);
}

INSTANTIATE_TEST_SUITE_P(GpuFamilies, GpuModel, ::testing::Values("quick_gelu", "siglip"));

}  // namespace
}  // namespace saferclip
