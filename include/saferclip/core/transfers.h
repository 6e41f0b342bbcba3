// Copies between host and device that do not stop the host; they go through pinned memory. Uploads
// are on the device's current stream, so later work there sees them done. Downloads have a stream
// of their own, so later work does not wait for them.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <memory>
#include <optional>

namespace saferclip {

// A host tensor on the device; the tensor itself if that is the CPU. The host may reuse `host` at
// once.
at::Tensor upload(const at::Tensor& host, at::Device device);

// Copies of tensors of one device on the host, under way until wait().
class Downloads {
 public:
  // A host tensor that holds the values that `tensor` has after the work issued so far; they can be
  // read after wait(). Call precede_later_work() before a tensor that is still in use changes. A
  // CPU tensor is returned as it is.
  at::Tensor start(const at::Tensor& tensor);
  // Waits for all copies started so far, on any thread. Throws c10::Error when the device failed.
  void wait();
  // Work issued from now on to the current stream runs after the copies; the host does not wait.
  void precede_later_work() const;

 private:
  std::optional<c10::Stream> stream_;
  std::shared_ptr<c10::Event> last_;  // behind the newest copy; null: nothing to wait for
};

}  // namespace saferclip
