// One process of a run that tests/distributed/distributed.py starts several times.
//
//   distributed_process check [DEVICE]   every operation against its meaning
//   distributed_process disagree         the last rank has other facts
//   distributed_process steps COUNT      sums until it is done, 20 a second
//   distributed_process unwatched        the same without OnLoss
//   distributed_process fail             rank 1 ends with an error that it announces
//   distributed_process vanish           rank 1 unwinds without a word
//   distributed_process die_once         rank 1 kills itself, unless the launcher restarted the run
//   distributed_process barrier SECONDS  rank 0 is late
//
// Lines go to stdout, problems to stderr; the exit code is that of the program: the code of the
// Error, 1 for a failed check.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/slices.h"
#include "saferclip/core/stop.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/agreement.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/nn/compute_copies.h"
#include "saferclip/train/gradient_sum.h"

namespace {

using saferclip::cat;
using saferclip::Processes;
using saferclip::slice_of;
using saferclip::slice_sizes;

saferclip::StopFlag stop_flag;

void say(const std::string& line) { std::cout << line + "\n" << std::flush; }

void check(bool holds, const std::string& what) {
  if (!holds) throw saferclip::Error("check failed: " + what, 1);
}

// "cuda" is a device for each process of this machine.
at::Device device_of(const std::string& name) {
  at::Device device(name);
  const auto launch = saferclip::launch_from_environment();
  if (device.is_cuda() && launch)
    device.set_index(static_cast<at::DeviceIndex>(launch->local_rank));
  return device;
}

// The same values in every process.
at::Tensor values(at::IntArrayRef shape, at::Device device) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* data = tensor.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    data[i] = static_cast<float>((i * 7919 + 13) % 1009) / 1009.0F - 0.5F;
  }
  return tensor.to(device);
}

void check_sums(const Processes& processes, at::Device device) {
  const int size = processes.size();
  for (const std::int64_t count : {0, 1, 5, 100003}) {
    at::Tensor sum = at::full({count}, processes.rank() + 1.0, at::device(device));
    processes.sum_(sum);
    check(sum.eq(size * (size + 1) / 2.0).all().item<bool>(), cat("a sum of ", count, " values"));
  }
  at::Tensor strided = at::full({3, 4}, processes.rank() + 1.0, at::device(device)).t();
  processes.sum_(strided);
  check(strided.eq(size * (size + 1) / 2.0).all().item<bool>(), "a sum of strided values");
  at::Tensor parameter = values({7}, device).requires_grad_();
  processes.sum_(parameter);
  check(at::allclose(parameter, values({7}, device) * size), "a sum of a leaf");
  const at::Tensor whole = at::full({1}, 1.0, at::device(device).dtype(at::kBFloat16));
  processes.sum_(whole);
  check(whole.item<float>() == static_cast<float>(size), "a sum in bf16");

  std::vector<at::Tensor> tensors;
  std::vector<saferclip::PendingSum> pending;
  for (int i = 0; i < 8; ++i) {
    tensors.push_back(at::full({1000 + i}, i + processes.rank(), at::device(device)));
    pending.push_back(processes.sum_async(tensors.back()));
  }
  for (auto& sum : pending) sum.wait();
  for (int i = 0; i < 8; ++i) {
    const double expected = size * i + size * (size - 1) / 2.0;
    check(tensors[static_cast<std::size_t>(i)].eq(expected).all().item<bool>(), "sums under way");
  }
}

// Sums are the same bits on all processes, and a repetition gives the same.
void check_bits(const Processes& processes, at::Device device) {
  at::Tensor first;
  for (int repeat = 0; repeat < 2; ++repeat) {
    at::Tensor sum = values({50001}, device) * (1.0 + 0.37 * processes.rank());
    processes.sum_(sum);
    const at::Tensor of_all = processes.gather_rows(sum.unsqueeze(0));
    check(of_all.eq(of_all[0]).all().item<bool>(), "equal sums in all processes");
    check(repeat == 0 || sum.equal(first), "equal sums in a repetition");
    first = sum;
  }
}

void check_gather(const Processes& processes, at::Device device) {
  const int size = processes.size();
  for (const std::int64_t rows : {0, 1, 2, 3, 4, 7, 64}) {
    const at::Tensor batch = values({rows, 5}, device);
    const saferclip::Slice own = slice_of(rows, processes.rank(), size);
    const at::Tensor part = batch.slice(0, own.begin, own.end);
    check(processes.gather_rows(part).equal(batch), cat("gathering ", rows, " rows"));
    check(processes.gather_rows(part, slice_sizes(rows, size)).equal(batch),
          cat("gathering ", rows, " counted rows"));
  }
  // All rows at the last process.
  const at::Tensor batch = values({6, 2, 3}, device);
  const std::int64_t count = processes.rank() == size - 1 ? 6 : 0;
  check(processes.gather_rows(batch.slice(0, 0, count)).equal(batch), "rows of one process alone");
}

// The loss of the whole batch, computed by every process: its gradient for the slice is the slice
// of the gradient of one process.
void check_gradient(const Processes& processes, at::Device device) {
  for (const std::int64_t rows : {1, 3, 8}) {
    const at::Tensor weights = values({rows, rows}, device);
    const auto loss = [&](const at::Tensor& batch) {
      return (batch.matmul(batch.t()).tanh() * weights).sum();
    };
    at::Tensor batch = values({rows, 5}, device).requires_grad_();
    loss(batch).backward();
    const auto own = slice_of(rows, processes.rank(), processes.size());
    at::Tensor part = batch.detach().slice(0, own.begin, own.end).clone().requires_grad_();
    const auto counts = slice_sizes(rows, processes.size());
    loss(processes.gather_rows_with_gradient(part, counts)).backward();
    check(part.grad().equal(batch.grad().slice(0, own.begin, own.end)),
          cat("the gradient of ", rows, " gathered rows"));
  }
}

void check_parts(const Processes& processes, at::Device device) {
  const int size = processes.size();
  const std::int64_t part = 1001;
  at::Tensor sum = values({size * part}, device) * (1.0 + processes.rank());
  at::Tensor flat = sum.clone();
  processes.sum_(sum);
  const at::Tensor own = processes.reduce_scatter(flat);
  // NCCL may add up in another order.
  const double bound = device.is_cuda() ? 1e-5 : 0;
  check(at::allclose(own, sum.narrow(0, processes.rank() * part, part), bound, bound),
        "a reduced part");
  at::Tensor all = at::empty_like(sum);
  processes.all_gather(own, all);
  check(at::allclose(all, sum, bound, bound), "gathered parts");
  processes.all_gather(own, flat);
  check(flat.equal(all), "parts gathered in place");
}

// Leaves as a model has them: weights, one stacked in a copy, a token embedding, a scale that every
// process has whole, and one without a gradient. Each process adds up two passes over its rows.
void check_gradient_sum(const Processes& processes, at::Device device) {
  const int size = processes.size();
  const auto leaf = [&](at::IntArrayRef shape) { return values(shape, device).requires_grad_(); };
  const std::vector<at::Tensor> leaves{leaf({11, 4}), leaf({4, 4}), leaf({4, 4}),
                                       leaf({2, 4}),  leaf({1}),    leaf({3})};
  std::vector<saferclip::TrainedParameter> parameters;
  for (const at::Tensor& tensor : leaves) parameters.push_back({tensor, {{"w"}}, {}, false});
  saferclip::ComputeCopies copies({{{leaves[1], leaves[2]}, 2.0}}, at::kDouble);
  saferclip::Batch batch;
  batch.share = {processes.rank(), size};
  batch.used_ids = at::tensor({0, 3, 7, 10}, at::kLong).to(device);
  for (const std::int64_t rows : {4 * size, size, size - 1}) {  // the last one may have none
    batch.total_rows = rows;
    const auto own = slice_of(rows, processes.rank(), size);
    const auto pass = [&](double factor) {
      const at::Tensor ids = at::arange(own.begin, own.end, at::device(device)).remainder(4);
      const at::Tensor x = at::embedding(leaves[0], batch.used_ids.index_select(0, ids));
      const at::Tensor y = x.to(at::kDouble).matmul(copies.read(leaves[1]).t()).to(at::kFloat);
      return ((y.slice(1, 0, 4) * x).matmul(leaves[3].t()).tanh().sum() + leaves[4].sum()) * factor;
    };
    const auto gradients = [&](const std::function<void()>& before_last) {
      for (at::Tensor tensor : leaves) tensor.mutable_grad() = at::Tensor();
      copies.refresh();
      if (own.size() == 0) return before_last();
      pass(0.5).backward();
      copies.collect_gradients();
      const at::Tensor last = pass(1.5);
      before_last();
      last.backward();
      copies.collect_gradients();
    };
    gradients([] {});
    std::vector<at::Tensor> expected;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      const at::Tensor& gradient = leaves[i].grad();
      at::Tensor sum = gradient.defined() ? gradient.clone() : at::zeros_like(leaves[i]).detach();
      if (i == 4 && processes.rank() > 0) sum.zero_();
      processes.sum_(sum);
      expected.push_back(sum);
    }
    for (const std::int64_t bucket : {1, 40, 1000}) {
      saferclip::GradientSum sum(processes, {parameters, {leaves[4]}, leaves[0], &copies, bucket});
      gradients([&] { sum.begin(batch); });
      const at::Tensor codes = sum.finish(10 + processes.rank()).to(at::kCPU);
      for (int rank = 0; rank < size; ++rank) {
        check(codes[rank].item<float>() == static_cast<float>(10 + rank), "codes of all processes");
      }
      for (std::size_t i = 0; i + 1 < leaves.size(); ++i) {
        check(at::allclose(leaves[i].grad(), expected[i], 1e-6, 1e-6),
              cat("gradient ", i, " of ", rows, " rows in buckets of ", bucket));
      }
      check(!leaves[5].grad().defined(), "a leaf without a gradient stays without");
    }
  }
}

void check_rest(const Processes& processes, at::Device device) {
  const int last = processes.size() - 1;
  at::Tensor tensor = at::full({4}, processes.rank(), at::device(device));
  processes.broadcast_(tensor, last);
  check(tensor.eq(last).all().item<bool>(), "a broadcast");
  const std::string text(static_cast<std::size_t>(processes.rank() * 700), 'x');
  const auto texts = processes.gather_texts(text);
  for (int rank = 0; rank <= last; ++rank) {
    const auto& other = texts.at(static_cast<std::size_t>(rank));
    check(other.size() == static_cast<std::size_t>(rank * 700), "gathered texts");
  }
  saferclip::agree(processes, {{"threads", "2"}, {"train.batch_size", "48"}});
  for (int i = 0; i < 3; ++i) processes.barrier(cat("place ", i));
}

void check_all(const Processes& processes, at::Device device) {
  // Without it NCCL may repeat a sum with other bits.
  if (device.is_cuda()) at::globalContext().setDeterministicAlgorithms(true, false);
  check_sums(processes, device);
  check_bits(processes, device);
  check_gather(processes, device);
  check_gradient(processes, device);
  check_parts(processes, device);
  if (!processes.is_alone()) check_gradient_sum(processes, device);
  check_rest(processes, device);
}

void disagree(const Processes& processes) {
  const bool last = processes.rank() == processes.size() - 1;
  const std::string path(100, 'p');
  saferclip::Facts facts{{"program", "0.1.0"},
                         {"threads", last ? "3" : "2"},
                         {"data", path + (last ? "2/train.jsonl" : "1/train.jsonl")}};
  if (last) facts.emplace_back("train.augment", "true");
  saferclip::agree(processes, facts);
}

void steps(const Processes& processes, int count, int failing) {
  for (int step = 1; step <= count; ++step) {
    if (processes.rank() == failing && step == 5) throw saferclip::DataError("row 7 is bad");
    const at::Tensor sum = at::ones({10000});
    processes.sum_(sum);
    say(cat("step ", step));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void die_once(const Processes& processes) {
  const bool first_try = saferclip::launch_from_environment()->restarts == 0;
  for (int step = 0; step < 20; ++step) {
    processes.sum_(at::ones({10}));
    if (first_try && step == 5 && processes.rank() == 1) std::raise(SIGKILL);
  }
}

void wait_for_first(const Processes& processes, int seconds) {
  if (processes.rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(seconds));
  processes.barrier(
      "the caches", [](const std::vector<int>& missing) { say(cat("missing ", missing.size())); },
      &stop_flag);
}

Processes join(bool watched) {
  const auto launch = saferclip::launch_from_environment();
  if (!launch) return {};
  saferclip::JoinOptions options;
  options.time_limit = std::chrono::seconds(60);
  options.stop = &stop_flag;
  options.report = [](const std::string& line) { std::cerr << line + "\n"; };
  if (!watched) return Processes::join(*launch, options);
  options.on_loss = [](const saferclip::Loss& loss) {
    const std::string line = loss.sentence + "\n";
    if (write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(1);
    _exit(loss.exit_code);
  };
  return Processes::join(*launch, options);
}

void run(const Processes& processes, const std::vector<std::string>& words) {
  say(cat("rank ", processes.rank(), " of ", processes.size(), " pid ", getpid()));
  const std::string& what = words.at(0);
  if (what == "check") check_all(processes, device_of(words.size() > 1 ? words[1] : "cpu"));
  if (what == "disagree") disagree(processes);
  if (what == "steps") steps(processes, std::stoi(words.at(1)), -1);
  if (what == "unwatched") steps(processes, 1000, -1);
  if (what == "fail" || what == "vanish") steps(processes, 100, 1);
  if (what == "die_once") die_once(processes);
  if (what == "barrier") wait_for_first(processes, std::stoi(words.at(1)));
}

int run_and_end(const std::vector<std::string>& words) {
  const Processes processes = join(words.at(0) != "unwatched");
  try {
    run(processes, words);
  } catch (const saferclip::Error& problem) {
    // Errors that all processes have at the same time need no announcement; it does no harm.
    if (words.at(0) != "vanish") processes.announce_end(problem.what(), problem.exit_code());
    throw;
  }
  processes.leave();
  say("done");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  std::signal(SIGTERM, [](int) { stop_flag.request(143); });
  try {
    return run_and_end({argv + 1, argv + argc});
  } catch (const saferclip::Error& problem) {
    std::cerr << std::string(problem.what()) + "\n";
    return problem.exit_code();
  }
}
