# Libraries below CMAKE_PREFIX_PATH, variable and environment. CMake's package files name their own folders. Compiler and
# linker must be told of headers without such a file (WebP, SentencePiece), of the folders that Debian names by
# architecture (packages unpacked with dpkg -x), and of the libraries that those libraries need.
#   USER_PREFIX_INCLUDE_DIRS, USER_PREFIX_LIBRARY_DIRS   the folders
#   USER_PREFIX_LINK_OPTIONS                             for targets that link the libraries
string(REPLACE ":" ";" _prefixes "$ENV{CMAKE_PREFIX_PATH}")
list(PREPEND _prefixes ${CMAKE_PREFIX_PATH})
set(USER_PREFIX_INCLUDE_DIRS "")
set(USER_PREFIX_LIBRARY_DIRS "")
foreach(_prefix IN LISTS _prefixes)
  set(_arch_lib "${_prefix}/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
  # Debian's alternatives choose among libraries in folders of their own.
  file(GLOB _choices "${_arch_lib}/*/libblas.so.*" "${_arch_lib}/*/liblapack.so.*")
  list(TRANSFORM _choices REPLACE "/[^/]*$" "")
  foreach(_folder "${_prefix}/include" "${_prefix}/include/${CMAKE_LIBRARY_ARCHITECTURE}")
    if(IS_DIRECTORY "${_folder}" AND NOT _folder IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
      list(APPEND USER_PREFIX_INCLUDE_DIRS "${_folder}")
    endif()
  endforeach()
  foreach(_folder "${_prefix}/lib" "${_prefix}/lib64" "${_arch_lib}" ${_choices})
    if(IS_DIRECTORY "${_folder}" AND NOT _folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
      list(APPEND USER_PREFIX_LIBRARY_DIRS "${_folder}")
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES USER_PREFIX_INCLUDE_DIRS)
list(REMOVE_DUPLICATES USER_PREFIX_LIBRARY_DIRS)
list(TRANSFORM USER_PREFIX_LIBRARY_DIRS PREPEND "LINKER:-rpath-link," OUTPUT_VARIABLE USER_PREFIX_LINK_OPTIONS)
if(USER_PREFIX_LINK_OPTIONS)
  # The program's search path then holds for the libraries' libraries too.
  list(APPEND USER_PREFIX_LINK_OPTIONS "LINKER:--disable-new-dtags")
endif()
