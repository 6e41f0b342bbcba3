# The CMake package: what `find_package(saferclip)` finds below the prefix, which may be moved. Component devel, which
# the default install contains:
#   lib/libsaferclip_*.a           the libraries
#   include/saferclip              their headers
#   lib/cmake/saferclip            the package
include(CMakePackageConfigHelpers)
set(_package_dir lib/cmake/saferclip)

# All of it, LibTorch first on the link line: its BLAS must bind before the one that OpenCV brings.
add_library(saferclip_library INTERFACE)
target_link_libraries(saferclip_library INTERFACE LibTorch::LibTorch saferclip_tensor saferclip_plain)
set_target_properties(saferclip_library PROPERTIES EXPORT_NAME saferclip)
set_target_properties(saferclip_plain PROPERTIES EXPORT_NAME plain)
set_target_properties(saferclip_tensor PROPERTIES EXPORT_NAME tensor)
# Warnings and sanitizers are this build's own business, the language standard is not.
target_compile_features(saferclip_plain PUBLIC cxx_std_20)

install(
  TARGETS saferclip_library saferclip_tensor saferclip_plain
  EXPORT saferclipTargets
  ARCHIVE DESTINATION lib COMPONENT devel
  INCLUDES
  DESTINATION include)
install(DIRECTORY include/saferclip DESTINATION include COMPONENT devel)
install(EXPORT saferclipTargets NAMESPACE saferclip:: DESTINATION ${_package_dir} COMPONENT devel)

get_filename_component(LIBTORCH_ROOT "${LibTorch_INCLUDE_DIR}" DIRECTORY)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" LIBTORCH_MINOR "${LibTorch_VERSION}")
configure_file(cmake/saferclipConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/package/saferclipConfig.cmake" @ONLY)
# Before 1.0 each minor version may change the headers.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/package/saferclipConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(
  FILES "${CMAKE_CURRENT_BINARY_DIR}/package/saferclipConfig.cmake"
        "${CMAKE_CURRENT_BINARY_DIR}/package/saferclipConfigVersion.cmake" cmake/FindLibTorch.cmake cmake/FindOpenCV.cmake
        cmake/UserPrefix.cmake
  DESTINATION ${_package_dir}
  COMPONENT devel)

# A tarball is for those who run the program.
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};${PROJECT_NAME};Unspecified;/")
