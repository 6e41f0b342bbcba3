# Finds LibTorch without find_package(Torch), which demands nvcc and the CUDA toolkit for a CUDA build.
# Looks, in this order, at SAFERCLIP_TORCH (a torch package folder or an unpacked libtorch, with the
# libraries in its lib folder or in itself) and at the torch package of .venv. Defines the imported target LibTorch::LibTorch and LibTorch_VERSION.
set(_hint "${SAFERCLIP_TORCH}")
if(NOT _hint)
  set(_hint "$ENV{SAFERCLIP_TORCH}")
endif()
if(NOT _hint AND EXISTS "${PROJECT_SOURCE_DIR}/.venv/bin/python")
  execute_process(
    COMMAND "${PROJECT_SOURCE_DIR}/.venv/bin/python" -c
            "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE _hint OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()

find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS "${_hint}/include" NO_DEFAULT_PATH)
find_library(LibTorch_LIBRARY torch HINTS "${_hint}/lib" "${_hint}" NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS "${_hint}/lib" "${_hint}" NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS "${_hint}/lib" "${_hint}" NO_DEFAULT_PATH)
find_library(LibTorch_CUDA_LIBRARY torch_cuda HINTS "${_hint}/lib" "${_hint}" NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda HINTS "${_hint}/lib" "${_hint}" NO_DEFAULT_PATH)
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_LIBRARY LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
                 LibTorch_CUDA_LIBRARY LibTorch_C10_CUDA_LIBRARY)

# TORCH_VERSION itself may span lines.
set(LibTorch_VERSION "")
foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT LibTorch_VERSION AND LibTorch_INCLUDE_DIR AND EXISTS "${LibTorch_INCLUDE_DIR}/${_header}")
    set(_numbers "")
    foreach(_part MAJOR MINOR PATCH)
      file(STRINGS "${LibTorch_INCLUDE_DIR}/${_header}" _line REGEX "define TORCH_VERSION_${_part} ")
      string(REGEX MATCH "[0-9]+" _number "${_line}")
      list(APPEND _numbers "${_number}")
    endforeach()
    string(JOIN "." LibTorch_VERSION ${_numbers})
  endif()
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorch
  REQUIRED_VARS LibTorch_LIBRARY LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run scripts/setup, or set SAFERCLIP_TORCH to a torch package or libtorch folder")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  # Torch ships its own fmt; searched after the system's folders it does not get in spdlog's way.
  target_compile_options(
    LibTorch::LibTorch INTERFACE "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}"
    "SHELL:-idirafter ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  get_filename_component(_lib_dir "${LibTorch_LIBRARY}" DIRECTORY)
  set(_libs "${LibTorch_LIBRARY}" "${LibTorch_CPU_LIBRARY}" "${LibTorch_C10_LIBRARY}")
  if(LibTorch_CUDA_LIBRARY)
    list(APPEND _libs "${LibTorch_CUDA_LIBRARY}" "${LibTorch_C10_CUDA_LIBRARY}")
  endif()
  # Nothing refers to libtorch_cuda by name: without --no-as-needed the linker drops it.
  target_link_options(LibTorch::LibTorch INTERFACE "LINKER:--no-as-needed")
  # at::parallel_for is a template: without OpenMP in our own compiler it runs on one thread. The runtime is
  # LibTorch's own, so that both count the same threads.
  file(GLOB _openmp "${_lib_dir}/libgomp*.so*")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(LibTorch::LibTorch INTERFACE -fopenmp)
    list(APPEND _libs ${_openmp})
    if(NOT _openmp)
      target_link_options(LibTorch::LibTorch INTERFACE -fopenmp)
    endif()
  endif()
  target_link_libraries(LibTorch::LibTorch INTERFACE ${_libs})
endif()
