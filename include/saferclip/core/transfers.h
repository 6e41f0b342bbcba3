// Copies between host and device that do not stop the host. They go through pinned memory and the
// device's current stream, so later work on that stream sees them done.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <memory>

namespace saferclip {

// A host tensor on the device; the tensor itself if that is the CPU. The host may reuse `host` at
// once.
at::Tensor upload(const at::Tensor& host, at::Device device);

// Copies of device tensors on the host, under way until wait().
class Downloads {
 public:
  // A host tensor whose values hold after wait(). A CPU tensor is returned as it is.
  at::Tensor start(const at::Tensor& tensor);
  // Waits for all copies started so far, on any thread. Throws c10::Error when the device failed.
  void wait();

 private:
  std::shared_ptr<c10::Event> last_;  // behind the newest copy; null: nothing to wait for
};

}  // namespace saferclip
