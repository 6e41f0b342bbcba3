// Copies between host and device that end later than they are asked for, streams, events, and
// pinned memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

namespace fake_cuda {

using StreamKey = std::int64_t;
// Which copies have ended: those of each stream with a smaller ticket.
using Clock = std::map<StreamKey, std::uint64_t>;

// Memory is named by the address where kernels find it. Thread-safe.
class Transfers {
 public:
  static Transfers& get();

  // The host's bytes must stay as they are until somebody has waited.
  void upload(const char* host, char* device, std::size_t bytes, StreamKey stream);
  // The host's bytes are NaN until somebody has waited.
  void download(const char* device, char* host, std::size_t bytes, StreamKey stream);

  // A kernel of this stream has written this memory.
  void wrote(const char* device, std::size_t bytes, StreamKey stream);
  // The allocator was told that this stream uses the memory that begins at `block`: once released,
  // it is not handed out again before the stream's downloads have ended.
  void keep(const char* block, StreamKey stream);
  void released(const char* block);
  // A kernel of this stream is about to work on this memory: the copies that the stream is ordered
  // after arrive.
  void arrive(const char* device, std::size_t bytes, StreamKey stream);
  // Pinned memory goes back: like CUDA's allocator, it is not reused before its copies have ended.
  void finish_host(const char* host, std::size_t bytes);
  // This memory is handed out anew: what was still to be copied there comes first.
  void arrive_from_all(const char* device, std::size_t bytes);

  Clock record(StreamKey stream);
  void block(const Clock& event, StreamKey stream);
  // Whether no copy is left that the event stands behind.
  bool is_done(const Clock& event);
  // The host waits.
  void wait(const Clock& event);
  void wait_for_stream(StreamKey stream) { wait(record(stream)); }
  void wait_for_all();

 private:
  struct Copy {
    std::uint64_t ticket;
    StreamKey stream;
    bool is_upload;
    char* host;
    char* device;
    std::size_t bytes;
    std::uint64_t checksum;      // of the host's bytes when the upload was asked for
    std::vector<char> snapshot;  // of the device's bytes when the download was asked for
    bool has_arrived = false;    // on the device, which the host does not know yet
    bool is_kept = false;        // the source, by the allocator
  };
  // The last kernel that wrote a piece of memory.
  struct Writer {
    std::size_t bytes;
    StreamKey stream;
    std::uint64_t ticket;
  };
  template <class Which>
  void finish_if(const Which& which);
  static void arrive(Copy& copy);
  static void finish(Copy& copy);
  bool is_before(StreamKey earlier, std::uint64_t ticket, StreamKey stream) const;
  // The block that the last kernel to write this memory knew; null: none wrote it.
  const char* block_of(const char* device) const;
  bool is_written_before(const char* device, StreamKey stream) const;

  std::mutex mutex_;
  std::uint64_t next_ = 1;
  std::deque<Copy> copies_;
  std::map<const char*, Writer> writers_;
  std::map<StreamKey, Clock> clocks_;  // what each stream was told to wait for
};

// Memory that the device can copy from by itself.
class PinnedMemory {
 public:
  static PinnedMemory& get();
  void* allocate(std::size_t bytes);
  void release(void* address);
  bool owns(const void* address);

 private:
  std::mutex mutex_;
  std::map<const char*, std::size_t> blocks_;
};

}  // namespace fake_cuda
