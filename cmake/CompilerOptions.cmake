# Each version of GCC has false alarms of its own; those of the tested one are known.
if(SAFERCLIP_WERROR AND CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  message(STATUS "Warnings of GCC ${CMAKE_CXX_COMPILER_VERSION} are no errors: the tested version is 12")
  set(_werror OFF)
else()
  set(_werror ${SAFERCLIP_WERROR})
endif()
add_library(saferclip_options INTERFACE)
target_compile_features(saferclip_options INTERFACE cxx_std_20)
target_compile_options(
  saferclip_options
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
            -Woverloaded-virtual
            $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> # false alarms of GCC 12 (bug 105651)
            $<$<BOOL:${_werror}>:-Werror>)
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
