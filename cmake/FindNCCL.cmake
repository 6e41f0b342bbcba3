# Finds what src/distributed/nccl.cpp needs beside a CUDA build of LibTorch: headers of NCCL and of CUDA. Their libraries
# are those that LibTorch loads. Looks at NCCL_INCLUDE_DIR (a list of folders), at the packages that pip installs beside
# the torch package, and at a CUDA toolkit. Run after find_package(LibTorch). Sets NCCL_FOUND, NCCL_INCLUDE_DIRS, and
# NCCL_WHY_NOT in words.
set(NCCL_INCLUDE_DIR "" CACHE STRING "Folders with headers of NCCL and CUDA")

set(NCCL_FOUND FALSE)
set(NCCL_INCLUDE_DIRS "")
set(NCCL_WHY_NOT "")
if(NOT LibTorch_CUDA_LIBRARY)
  set(NCCL_WHY_NOT "LibTorch is a CPU build")
else()
  # <site-packages>/torch/include and <site-packages>/nvidia/<package>/include
  file(GLOB _packages "${LibTorch_INCLUDE_DIR}/../../nvidia/*/include")
  # Folders with headers of several versions of CUDA are not mixed: that of the first one counts.
  set(_version "")
  set(_folders "")
  foreach(_folder ${NCCL_INCLUDE_DIR} ${_packages} "$ENV{CUDA_HOME}/include" "$ENV{CUDA_PATH}/include"
                  /usr/local/cuda/include /usr/include)
    set(_found "")
    if(EXISTS "${_folder}/cuda_runtime_api.h")
      file(STRINGS "${_folder}/cuda_runtime_api.h" _found REGEX "define CUDART_VERSION ")
    endif()
    if(_found AND NOT _version)
      set(_version "${_found}")
    endif()
    if(NOT _found OR _found STREQUAL _version)
      list(APPEND _folders "${_folder}")
    endif()
  endforeach()
  set(_missing "")
  foreach(_header nccl.h cuda_runtime.h crt/host_config.h nv/target cublas_v2.h cusparse.h cusolverDn.h)
    unset(_folder)
    find_path(_folder "${_header}" PATHS ${_folders} NO_CACHE NO_DEFAULT_PATH)
    if(_folder)
      list(APPEND NCCL_INCLUDE_DIRS "${_folder}")
    else()
      list(APPEND _missing "${_header}")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES NCCL_INCLUDE_DIRS)
  if(_missing)
    list(JOIN _missing ", " _missing)
    set(NCCL_WHY_NOT
        "${_missing} not found; pip install 'cuda-toolkit[crt,cccl]' in the version that torch asks for, or set NCCL_INCLUDE_DIR"
    )
  else()
    set(NCCL_FOUND TRUE)
  endif()
endif()
