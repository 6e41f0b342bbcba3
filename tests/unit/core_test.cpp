#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/durations.h"
#include "saferclip/core/error.h"
#include "saferclip/core/file_lock.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/nearest_match.h"
#include "saferclip/core/rng.h"
#include "saferclip/core/stop.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/core/workers.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

TEST(TextFormat, FormatsForPeople) {
  EXPECT_EQ(human_bytes(890), "890 B");
  EXPECT_EQ(human_bytes(3U << 20U), "3.0 MiB");
  EXPECT_EQ(human_duration(3725), "1h 02m");
  EXPECT_EQ(human_duration(200), "3m 20s");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(999), "999");
}

TEST(TextFormat, Durations) {
  constexpr std::int64_t kMinute = 60, kHour = 3600, kDay = 86400;
  EXPECT_EQ(parse_duration("55m"), 55 * kMinute);
  EXPECT_EQ(parse_duration("1h30m"), kHour + 30 * kMinute);
  EXPECT_EQ(parse_duration("2d90s"), 2 * kDay + 90);
  EXPECT_EQ(parse_duration("55:00"), 55 * kMinute);
  EXPECT_EQ(parse_duration("1:30:05"), kHour + 30 * kMinute + 5);
  EXPECT_EQ(parse_duration("1-02"), kDay + 2 * kHour);
  EXPECT_EQ(parse_duration("1-02:30"), kDay + 2 * kHour + 30 * kMinute);
  EXPECT_EQ(parse_duration("1-02:00:07"), kDay + 2 * kHour + 7);
  for (const char* wrong : {"", "55", "m", "30m1h", "1h1h", "-5m", "5 m", "1:", ":5", "1:2:3:4",
                            "1-", "1-2-3", "1.5h", "99999999999d", "1h:30"}) {
    EXPECT_EQ(parse_duration(wrong), std::nullopt) << wrong;
  }
}

TEST(StopFlag, KeepsTheFirstWish) {
  StopFlag stop;
  throw_if_stopped(nullptr, "x");
  throw_if_stopped(&stop, "x");
  stop.request(143);
  stop.request(kOutOfTime);
  try {
    throw_if_stopped(&stop, "x");
    FAIL();
  } catch (const Interrupted& stopped) {
    EXPECT_EQ(stopped.exit_code(), 143);
  }
}

TEST(Files, ATemporarySiblingReplacesItsTargetOrLeavesNothing) {
  const TemporaryFolder folder;
  const std::filesystem::path target = folder / "kept";
  using Kind = TemporarySibling::Kind;
  const auto write = [&](const char* text, bool moves) {
    TemporarySibling temporary(target, Kind::kFolder);
    write_file_atomically(temporary.path() / "a", text);
    if (moves) temporary.move_to_target();
  };
  write("1", true);
  write("2", true);  // over a folder that is not empty
  EXPECT_EQ(read_file(target / "a"), "2");
  write("3", false);
  EXPECT_EQ(read_file(target / "a"), "2");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_THROW(TemporarySibling(folder / "gone" / "x", Kind::kFolder), Error);
}

TEST(TextFormat, NearestMatchOffersOnlyLikelyWords) {
  const std::vector<std::string> keys{"batch_size", "epochs", "precision"};
  EXPECT_EQ(nearest_match("batchsize", keys), "batch_size");
  EXPECT_EQ(nearest_match("epoch", keys), "epochs");
  EXPECT_EQ(nearest_match("weather", keys), "");
}

TEST(TextFormat, Utf8) {
  EXPECT_TRUE(is_valid_utf8("caf\xC3\xA9 \xF0\x9F\x98\x80"));
  EXPECT_FALSE(is_valid_utf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(is_valid_utf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(is_valid_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(is_valid_utf8("abc\xE2\x82"));       // cut
}

TEST(Hash, KnownDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(Sha256().add("ab").add("c").hex(), Sha256().add("a").add("bc").hex());
}

TEST(Rng, IsAFunctionOfItsKey) {
  EXPECT_EQ(random_permutation(100, 7), random_permutation(100, 7));
  EXPECT_NE(random_permutation(100, 7), random_permutation(100, 8));
  const auto order = random_permutation(1000, 3);
  EXPECT_EQ(std::set<std::int64_t>(order.begin(), order.end()).size(), 1000U);
  CounterRng rng(5);
  std::array<int, 3> counts{};
  for (int i = 0; i < 30000; ++i) ++counts[rng.below(3)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 400);
}

TEST(Files, WritesWholeFilesOnly) {
  const TemporaryFolder folder;
  const auto path = folder / "a.txt";
  write_file_atomically(path, "first");
  write_file_atomically(path, "second");
  EXPECT_EQ(read_file(path), "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  EXPECT_THROW(write_file_atomically(folder / "missing" / "b.txt", "x"), Error);
  EXPECT_THROW(read_file(folder.path()), DataError);
  EXPECT_THROW(read_file(folder / "none"), DataError);
}

TEST(Files, SizeIsCheckedBeforeMemoryIsTaken) {
  const TemporaryFolder folder;
  const auto path = folder / "large";
  write_file_atomically(path, "");
  std::filesystem::resize_file(path, std::uintmax_t{1} << 42U);  // holes: no disk is used
  try {
    read_file(path);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("larger than 4.0 GiB"), std::string::npos);
  }
  write_file_atomically(path, "12345");
  EXPECT_EQ(read_file(path, 5), "12345");
  EXPECT_THROW(read_file(path, 4), DataError);
  EXPECT_THROW(read_file("/dev/zero", 1 << 20), DataError);  // tells no size and never ends
}

TEST(Files, FailuresNameFileCauseAndCure) {
  const TemporaryFolder folder;
  const auto says = [](const std::function<void()>& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 1);
      return error.what();
    }
    return "";
  };
  write_file_atomically(folder / "file", "x");
  const std::string blocked = says([&] { make_folders(folder / "file" / "below"); });
  EXPECT_NE(blocked.find((folder / "file" / "below").string() + ": Not a directory; "),
            std::string::npos)
      << blocked;
  EXPECT_NE(says([&] { rename_path(folder / "none", folder / "there"); }).find("No such file"),
            std::string::npos);
  EXPECT_NE(says([&] {
              throw_storage_error("write", "f", ENOSPC);
            }).find("cannot write f: No space left on device; free"),
            std::string::npos);
  EXPECT_NO_THROW(remove_tree(folder / "none"));
}

TEST(Files, LeftoversOfDeadProcessesGo) {
  const TemporaryFolder folder;
  const auto path = folder / "a.txt";
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const auto named = [&](const std::string& name, pid_t process) {
    return folder / ("." + name + ".tmp-" + std::to_string(process));
  };
  const std::vector<std::filesystem::path> kept{named("a.txt", ::getppid()), named("b.txt", child),
                                                folder / ".a.txt.tmp-x"};
  for (const auto& file : kept) write_file_atomically(file, "x");
  std::filesystem::create_directories(named("a.txt", child));
  write_file_atomically(named("a.txt", child) / "part", "x");
  write_file_atomically(path, "new");
  EXPECT_FALSE(std::filesystem::exists(named("a.txt", child)));
  for (const auto& file : kept) EXPECT_TRUE(std::filesystem::exists(file)) << file;
}

TEST(Files, WriterAppends) {
  const TemporaryFolder folder;
  const auto path = folder / "log";
  write_file_atomically(path, "a\n");
  FileWriter writer(path, FileWriter::Start::kEnd);
  writer.write("b\n", 2);
  writer.sync();
  EXPECT_EQ(read_file(path), "a\nb\n");
  std::string joined;
  read_in_blocks(path, [&](const char* data, std::size_t size) { joined.append(data, size); });
  EXPECT_EQ(joined, "a\nb\n");
}

TEST(Files, LockIsExclusive) {
  const TemporaryFolder folder;
  auto lock = FileLock::try_acquire(folder / ".lock");
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(FileLock::try_acquire(folder / ".lock"), nullptr);
  lock.reset();
  EXPECT_NE(FileLock::try_acquire(folder / ".lock"), nullptr);
}

TEST(Workers, EachIndexOnce) {
  for (const int threads : {0, 1, 3}) {
    for (const std::int64_t count : {0, 1, 100}) {
      std::vector<int> calls(static_cast<std::size_t>(count));
      for_each_index(count, threads, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(count), 1));
    }
  }
}

TEST(Workers, TwoAtATime) {
  std::atomic<int> arrived = 0;
  for_each_index(2, 2, [&](std::int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

TEST(Workers, ThrowsToTheCaller) {
  EXPECT_THROW(for_each_index(9, 2, [](std::int64_t) { throw DataError("x"); }), DataError);
}

}  // namespace
}  // namespace saferclip
