#include "saferclip/distributed/processes.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <thread>

#include "distributed/channels.h"
#include "distributed/meeting.h"
#include "distributed/packed_texts.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/transfers.h"

namespace saferclip {

struct Processes::State {
  ~State() {
    if (watch && !left) {
      watch->announce_end("it stopped early, see its log", 1);
      if (channels) channels->abandon();
    }
  }

  int rank = 0;
  int size = 1;
  std::vector<std::string> hosts;
  std::vector<std::string> addresses;
  c10::intrusive_ptr<c10d::Store> store;
  std::unique_ptr<Channels> channels;
  std::shared_ptr<Watch> watch;
  std::int64_t barriers = 0;
  std::atomic<bool> left = false;
};

struct PendingSum::State {
  at::Tensor tensor;
  at::Tensor values;  // what is summed: the tensor or its copy
  Work work;
  std::shared_ptr<const Watch> watch;
};

namespace {

void copy_back(const at::Tensor& values, const at::Tensor& tensor) {
  if (values.data_ptr() == tensor.data_ptr()) return;
  tensor.detach().copy_(values, /*non_blocking=*/true);
}

at::Tensor bytes_of(const std::string& text) {
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
  std::memcpy(bytes.data_ptr(), text.data(), text.size());
  return bytes;
}

// What each rank gives.
std::vector<int> numbers_of_all(const Processes& processes, int own) {
  const at::Tensor all = processes.gather_rows(
      at::full({1}, own, at::kInt),
      std::vector<std::int64_t>(static_cast<std::size_t>(processes.size()), 1));
  const std::int32_t* values = all.const_data_ptr<std::int32_t>();
  return {values, values + all.numel()};
}

}  // namespace

PendingSum::PendingSum() = default;
PendingSum::~PendingSum() = default;
PendingSum::PendingSum(PendingSum&&) noexcept = default;
PendingSum& PendingSum::operator=(PendingSum&&) noexcept = default;

void PendingSum::wait() {
  if (!state_) return;
  const at::NoGradGuard guard;
  finish(*state_->work, state_->values, *state_->watch);
  copy_back(state_->values, state_->tensor);
  state_.reset();
}

Processes Processes::join(const Launch& launch, const JoinOptions& options) {
  Processes processes;
  if (launch.size == 1) return processes;
  Meeting meeting = meet(launch, options);
  auto state = std::make_shared<State>();
  state->rank = launch.rank;
  state->size = launch.size;
  state->store = meeting.store;
  state->hosts.resize(static_cast<std::size_t>(launch.size), meeting.host);
  state->addresses.resize(state->hosts.size(), meeting.address);
  for (const Peer& peer : meeting.peers) {
    state->hosts[static_cast<std::size_t>(peer.rank)] = peer.host;
    state->addresses[static_cast<std::size_t>(peer.rank)] = peer.address;
  }
  // From here on the watch speaks for the others: what follows has no time limit.
  state->watch = std::make_shared<Watch>(std::move(meeting.peers), options.on_loss);
  state->channels = std::make_unique<Channels>(
      Group{launch.rank, launch.size, meeting.host, state->store, state->watch, options.report},
      meeting.address);
  processes.state_ = std::move(state);
  return processes;
}

int Processes::rank() const { return state_ ? state_->rank : 0; }

int Processes::size() const { return state_ ? state_->size : 1; }

std::vector<std::string> Processes::hosts() const {
  return state_ ? state_->hosts : std::vector<std::string>{"this machine"};
}

std::vector<std::string> Processes::addresses() const {
  return state_ ? state_->addresses : std::vector<std::string>{};
}

PendingSum Processes::sum_async(const at::Tensor& tensor) const {
  PendingSum pending;
  if (!state_ || tensor.numel() == 0) return pending;
  const at::NoGradGuard guard;
  const at::Tensor values = state_->channels->sendable(tensor);
  pending.state_ = std::make_unique<PendingSum::State>(
      PendingSum::State{tensor, values, state_->channels->start_sum(values), state_->watch});
  return pending;
}

void Processes::sum_(const at::Tensor& tensor) const { sum_async(tensor).wait(); }

at::Tensor Processes::gather_rows(const at::Tensor& rows) const {
  if (!state_) return rows.detach();
  at::Tensor counts = at::zeros({size()}, at::kLong);
  counts[rank()] = rows.size(0);
  sum_(counts);
  const std::int64_t* values = counts.const_data_ptr<std::int64_t>();
  return gather_rows(rows, {values, values + size()});
}

at::Tensor Processes::gather_rows(const at::Tensor& rows,
                                  const std::vector<std::int64_t>& counts) const {
  if (!state_) return rows.detach();
  if (counts.size() != static_cast<std::size_t>(size()) ||
      counts[static_cast<std::size_t>(rank())] != rows.size(0)) {
    throw Error(cat("gather_rows: rank ", rank(), " has ", rows.size(0), " rows, not as counted"),
                1);
  }
  const at::NoGradGuard guard;
  const std::int64_t most = *std::ranges::max_element(counts);
  if (most == 0) return rows.detach();
  // c10d gathers equal sizes only: shorter ones are padded.
  at::Tensor own = state_->channels->sendable(rows);
  std::vector<std::int64_t> shape = own.sizes().vec();
  if (shape[0] < most) {
    shape[0] = most - shape[0];
    own = at::cat({own, at::zeros(shape, own.options())});
  }
  shape[0] = most * size();
  at::Tensor all = at::empty(shape, own.options());
  state_->channels->gather(own, all);
  if (std::ranges::all_of(counts, [most](std::int64_t count) { return count == most; })) {
    return upload(all, rows.device());
  }
  std::vector<at::Tensor> parts;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    parts.push_back(all.narrow(0, static_cast<std::int64_t>(i) * most, counts[i]));
  }
  return upload(at::cat(parts), rows.device());
}

at::Tensor Processes::gather_rows_with_gradient(const at::Tensor& rows,
                                                const std::vector<std::int64_t>& counts) const {
  if (!state_) return rows;
  const at::Tensor all = gather_rows(rows, counts);
  const auto own = counts.begin() + rank();
  const std::int64_t begin = std::accumulate(counts.begin(), own, std::int64_t{0});
  const std::int64_t end = begin + *own;
  // The same values with this process's rows as autograd knows them.
  return at::cat({all.slice(0, 0, begin), rows, all.slice(0, end)});
}

void Processes::broadcast_(const at::Tensor& tensor, int root) const {
  if (!state_ || tensor.numel() == 0) return;
  const at::NoGradGuard guard;
  const at::Tensor values = state_->channels->sendable(tensor);
  state_->channels->broadcast(values, root);
  if (rank() != root) copy_back(values, tensor);
}

at::Tensor Processes::reduce_scatter(const at::Tensor& flat) const {
  if (!state_) return flat;
  if (flat.numel() % size() != 0) {
    throw Error(cat("reduce_scatter: ", flat.numel(), " values for ", size(), " processes"), 1);
  }
  const std::int64_t count = flat.numel() / size();
  const at::Tensor part = flat.narrow(0, rank() * count, count);
  if (count > 0 && flat.is_contiguous() && state_->channels->goes_by_nccl(flat)) {
    const at::NoGradGuard guard;
    state_->channels->reduce_scatter(flat.detach(), part.detach());
  } else {
    sum_(flat);  // as c10d does for Gloo, which has no such operation, but without a copy of it all
  }
  return part;
}

void Processes::all_gather(const at::Tensor& part, const at::Tensor& flat) const {
  if (part.numel() * size() != flat.numel()) {
    throw Error(cat("all_gather: parts of ", part.numel(), " values do not fill ", flat.numel()),
                1);
  }
  const at::NoGradGuard guard;
  if (!state_) {
    copy_back(part.detach(), flat);
    return;
  }
  const at::Tensor own = state_->channels->sendable(part);
  // NCCL gathers in place.
  const bool in_place = !own.is_cpu() && flat.is_contiguous();
  const at::Tensor all = in_place ? flat.detach() : at::empty(flat.sizes(), own.options());
  state_->channels->gather(own, all);
  copy_back(all, flat);
}

double Processes::waited_seconds() const { return state_ ? state_->watch->waited_seconds() : 0; }

std::vector<std::string> Processes::gather_texts(const std::string& text) const {
  if (!state_) return {text};
  // One more layer, which says where each text ends.
  const at::Tensor all = gather_rows(bytes_of(pack_texts({text})));
  return unpack_texts(
      {static_cast<const char*>(all.const_data_ptr()), static_cast<std::size_t>(all.numel())});
}

void Processes::barrier(const std::string& what,
                        const std::function<void(const std::vector<int>&)>& waiting,
                        const StopFlag* stop) const {
  if (!state_) return;
  using namespace std::chrono_literals;
  const std::string prefix = cat("barrier/", state_->barriers++, "/");
  std::vector<int> missing;
  for (int other = 0; other < size(); ++other) missing.push_back(other);
  auto reported = std::chrono::steady_clock::now();
  auto pause = 1ms;
  try {
    state_->store->set(prefix + std::to_string(rank()), what);
    while (true) {
      std::erase_if(missing, [&](int other) {
        const std::string key = prefix + std::to_string(other);
        if (!state_->store->check({key})) return false;
        const std::string place = state_->store->get_to_str(key);
        if (place == what) return true;
        throw Error(cat("rank ", other, " waits at \"", place, "\" and rank ", rank(), " at \"",
                        what, "\": do all processes run the same command?"),
                    1);
      });
      if (missing.empty()) return;
      if (const auto loss = state_->watch->loss()) throw ProcessLost(*loss);
      throw_if_stopped(stop, "interrupted while waiting for other processes at " + what);
      const auto now = std::chrono::steady_clock::now();
      if (waiting && now - reported >= 1s) {
        waiting(missing);
        reported = now;
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, 100ms);
    }
  } catch (const c10::Error& problem) {
    throw_failure(*state_->watch, problem.what_without_backtrace());
  }
}

void Processes::throw_if_any_stopped(const StopFlag* stop, const std::string& message) const {
  if (!state_) return throw_if_stopped(stop, message);
  const std::vector<int> codes = numbers_of_all(*this, stop == nullptr ? 0 : stop->exit_code());
  const auto found = std::ranges::find_if(codes, [](int code) { return code != 0; });
  if (found != codes.end()) throw Interrupted(message, *found);
}

std::vector<int> Processes::ranks_with(bool yes) const {
  const std::vector<int> answers = numbers_of_all(*this, yes ? 1 : 0);
  std::vector<int> ranks;
  for (int other = 0; other < size(); ++other) {
    if (answers[static_cast<std::size_t>(other)] != 0) ranks.push_back(other);
  }
  return ranks;
}

void Processes::leave(const std::function<void(const std::vector<int>&)>& waiting) const {
  if (!state_ || state_->left) return;
  state_->channels->drain();
  state_->watch->leave(waiting);
  state_->left = true;
}

void Processes::announce_end(const std::string& why, int exit_code) const {
  if (state_ && !state_->left) state_->watch->announce_end(why, exit_code);
}

}  // namespace saferclip
