# Compiles the files of a room together, at most sixteen at a time: most of a file's time goes into headers and templates
# that its neighbours need too. Names in anonymous namespaces must therefore differ within a room.
function(saferclip_unity target)
  get_target_property(_sources ${target} SOURCES)
  get_target_property(_target_dir ${target} SOURCE_DIR)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # GCC takes every file but the unit itself for a header, where such a type would be wrong.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  foreach(_source IN LISTS _sources)
    get_filename_component(_path "${_source}" ABSOLUTE BASE_DIR "${_target_dir}")
    get_filename_component(_dir "${_path}" DIRECTORY)
    get_filename_component(_room "${_dir}" NAME)
    math(EXPR _count_${_room} "0${_count_${_room}} + 1")
    math(EXPR _group "(${_count_${_room}} - 1) / 16")
    set_source_files_properties("${_path}" TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP ${_room}_${_group})
  endforeach()
endfunction()

saferclip_unity(saferclip_plain)
saferclip_unity(saferclip_tensor)
saferclip_unity(saferclip)
