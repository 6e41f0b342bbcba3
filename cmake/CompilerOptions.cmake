add_library(saferclip_options INTERFACE)
target_compile_features(saferclip_options INTERFACE cxx_std_20)
target_compile_options(
  saferclip_options
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
            -Woverloaded-virtual
            $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> # false alarms of GCC 12 (bug 105651)
            $<$<BOOL:${SAFERCLIP_WERROR}>:-Werror>)
if(SAFERCLIP_SANITIZE)
  string(REPLACE ";" "," _list "${SAFERCLIP_SANITIZE}")
  target_compile_options(saferclip_options INTERFACE -fsanitize=${_list} -fno-omit-frame-pointer)
  target_link_options(saferclip_options INTERFACE -fsanitize=${_list})
endif()
if(SAFERCLIP_COVERAGE)
  target_compile_options(saferclip_options INTERFACE -O1 --coverage -fprofile-update=atomic)
  target_link_options(saferclip_options INTERFACE --coverage)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
