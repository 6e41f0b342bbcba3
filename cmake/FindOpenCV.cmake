# OpenCV's configuration file where there is one. Distributions put it into a package of all modules, with hundreds of
# others in its train; the modules' own packages bring headers and libraries alone, which are searched for by name.
#   OpenCV_FOUND, OpenCV_INCLUDE_DIRS, OpenCV_LIBS; targets opencv_<component>
find_package(OpenCV QUIET CONFIG COMPONENTS ${OpenCV_FIND_COMPONENTS})
if(OpenCV_FOUND)
  return()
endif()
find_path(OpenCV_HEADERS opencv2/core/version.hpp PATH_SUFFIXES opencv4)
mark_as_advanced(OpenCV_HEADERS)
set(_places OpenCV_HEADERS)
foreach(_component IN LISTS OpenCV_FIND_COMPONENTS)
  find_library(OpenCV_${_component}_LIBRARY opencv_${_component})
  mark_as_advanced(OpenCV_${_component}_LIBRARY)
  list(APPEND _places OpenCV_${_component}_LIBRARY)
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  OpenCV
  REQUIRED_VARS ${_places}
  REASON_FAILURE_MESSAGE
    "install libopencv-core-dev, libopencv-imgproc-dev and libopencv-imgcodecs-dev, or name its place in OpenCV_DIR or \
CMAKE_PREFIX_PATH (scripts/build_opencv builds it)")
if(OpenCV_FOUND)
  set(OpenCV_INCLUDE_DIRS "${OpenCV_HEADERS}")
  set(OpenCV_LIBS "")
  foreach(_component IN LISTS OpenCV_FIND_COMPONENTS)
    list(APPEND OpenCV_LIBS opencv_${_component})
    if(NOT TARGET opencv_${_component})
      add_library(opencv_${_component} UNKNOWN IMPORTED)
      set_target_properties(
        opencv_${_component} PROPERTIES IMPORTED_LOCATION "${OpenCV_${_component}_LIBRARY}"
                                        INTERFACE_INCLUDE_DIRECTORIES "${OpenCV_HEADERS}")
    endif()
  endforeach()
endif()
