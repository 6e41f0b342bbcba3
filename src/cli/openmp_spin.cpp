// Bounds the spinning of LibTorch's libgomp: with another busy process on the machine its spinning
// barriers slow a step down tenfold, while a short spin costs nothing on an idle one. libgomp reads
// the setting when it is loaded, hence a second start, from .preinit_array: before LibTorch
// initializes, which takes most of the startup time, but also before the C library has its
// environment. Only for long commands, and never over the user's own setting.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace {

constexpr std::size_t kMostVariables = 4096;
char spin_count[] = "GOMP_SPINCOUNT=10000";

bool is_long(std::string_view word) {
  return word == "train" || word == "prepare" || word == "evaluate" || word == "report";
}

void bound_spinning(int argc, char** argv, char** environment) {
  static std::array<char*, kMostVariables + 2> with_bound{};
  if (std::none_of(argv, argv + argc, is_long)) return;
  std::size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    const std::string_view variable(environment[count]);
    if (variable.starts_with("GOMP_SPINCOUNT=") || variable.starts_with("OMP_WAIT_POLICY=") ||
        count == kMostVariables)
      return;
    with_bound[count] = environment[count];
  }
  with_bound[count] = spin_count;
  ::execve("/proc/self/exe", argv, with_bound.data());  // if it fails, the program simply continues
}

#if !defined(__SANITIZE_ADDRESS__)  // sanitizers set themselves up at the same moment
[[gnu::section(".preinit_array"), gnu::used]] void (*before_libraries)(int, char**,
                                                                       char**) = bound_spinning;
#endif

}  // namespace
