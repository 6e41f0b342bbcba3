# Compiles the files of a room together, at most 24 at a time: most of a file's time goes into headers and templates
# that its neighbours need too. Names in anonymous namespaces must therefore differ within a room.
# Rooms without inner loops of their own are compiled with -O1, in about a quarter less time than with -O2.
set(_cold_options -O1)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  # -O2 turns them on there, and precompiled headers demand that all their users agree.
  list(APPEND _cold_options -munroll-only-small-loops -mvzeroupper)
endif()
set(_hot_rooms core text image nn eval objective model)

function(saferclip_unity target)
  get_target_property(_sources ${target} SOURCES)
  get_target_property(_target_dir ${target} SOURCE_DIR)
  get_target_property(_binary_dir ${target} BINARY_DIR)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # GCC takes every file but the unit itself for a header, where such a type would be wrong.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  set(_rooms "")
  foreach(_source IN LISTS _sources)
    get_filename_component(_path "${_source}" ABSOLUTE BASE_DIR "${_target_dir}")
    get_filename_component(_dir "${_path}" DIRECTORY)
    get_filename_component(_room "${_dir}" NAME)
    list(APPEND _files_${_room} "${_path}")
    list(APPEND _rooms ${_room})
  endforeach()
  list(REMOVE_DUPLICATES _rooms)
  foreach(_room IN LISTS _rooms)
    list(LENGTH _files_${_room} _count)
    math(EXPR _units "(${_count} + 23) / 24")
    set(_index 0)
    foreach(_path IN LISTS _files_${_room})
      math(EXPR _unit "${_index} * ${_units} / ${_count}")
      math(EXPR _index "${_index} + 1")
      set_source_files_properties("${_path}" TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP ${_room}_${_unit})
      if(NOT _room IN_LIST _hot_rooms)
        set_source_files_properties(
          "${_binary_dir}/CMakeFiles/${target}.dir/Unity/unity_${_room}_${_unit}_cxx.cxx"
          TARGET_DIRECTORY ${target} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:${_cold_options}>")
      endif()
    endforeach()
  endforeach()
endfunction()

saferclip_unity(saferclip_plain)
saferclip_unity(saferclip_tensor)
saferclip_unity(saferclip)
