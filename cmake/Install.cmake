# What `cmake --install` puts below its prefix, which may be moved afterwards:
#   bin/saferclip                  finds LibTorch and starts the program
#   lib/saferclip/saferclip        the program
#   lib/saferclip/torch            LibTorch, with --component torch
#   share/saferclip                CLIP's vocabulary, configurations, the list of all this, uninstall
#   share/doc/saferclip            licences
#   share/{bash-completion,zsh,fish,man}   completions and man pages
include(GNUInstallDirs)
# A wheel's prefix is its package folder, where Python starts the program and pip keeps the list of files; shells and man
# look below the environment.
set(_program_dir lib/saferclip)
set(_share_dir share/saferclip)
set(_shell_prefix share)
if(SAFERCLIP_WHEEL)
  set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME wheel)
  set(_shell_prefix "${SKBUILD_DATA_DIR}/share")
endif()

get_filename_component(LIBTORCH_DIR "${LibTorch_LIBRARY}" DIRECTORY)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" LIBTORCH_MINOR "${LibTorch_VERSION}")
set_target_properties(saferclip PROPERTIES INSTALL_RPATH "\$ORIGIN/torch;${USER_PREFIX_LIBRARY_DIRS}")
install(TARGETS saferclip RUNTIME DESTINATION ${_program_dir})
install(DIRECTORY configs DESTINATION ${_share_dir})
install(FILES "${CMAKE_BINARY_DIR}/data/bpe_simple_vocab_16e6.txt.gz" DESTINATION ${_share_dir})
install(FILES LICENSE third_party/README.md DESTINATION share/doc/saferclip)
if(SAFERCLIP_WHEEL)
  if(SAFERCLIP_NCCL_LIBRARY)
    install(PROGRAMS "${SAFERCLIP_NCCL_LIBRARY}" DESTINATION ${_program_dir})
  endif()
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/torch_version" "${LIBTORCH_MINOR}\n")
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/torch_version" DESTINATION ${_share_dir})
else()
  configure_file(cmake/launcher.in "${CMAKE_CURRENT_BINARY_DIR}/launcher" @ONLY)
  install(PROGRAMS "${CMAKE_CURRENT_BINARY_DIR}/launcher" DESTINATION bin RENAME saferclip)
  install(PROGRAMS scripts/uninstall DESTINATION ${_share_dir})
endif()

# The program itself makes its completions and man pages.
set(_shell_dir "${CMAKE_BINARY_DIR}/shell")
install(
  CODE "
  file(MAKE_DIRECTORY \"${_shell_dir}\")
  foreach(_shell bash zsh fish)
    execute_process(COMMAND \"${CMAKE_BINARY_DIR}/saferclip\" completion \${_shell}
                    OUTPUT_FILE \"${_shell_dir}/saferclip.\${_shell}\" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
  execute_process(COMMAND \"${CMAKE_BINARY_DIR}/saferclip\" completion --man \"${_shell_dir}/man1\" COMMAND_ERROR_IS_FATAL ANY)")
install(FILES "${_shell_dir}/saferclip.bash" DESTINATION "${_shell_prefix}/bash-completion/completions" RENAME saferclip)
install(FILES "${_shell_dir}/saferclip.zsh" DESTINATION "${_shell_prefix}/zsh/site-functions" RENAME _saferclip)
install(FILES "${_shell_dir}/saferclip.fish" DESTINATION "${_shell_prefix}/fish/vendor_completions.d")
install(DIRECTORY "${_shell_dir}/man1" DESTINATION "${_shell_prefix}/man")
if(SAFERCLIP_WHEEL)
  return()
endif()

# All but what Python loads.
file(GLOB _torch_files "${LIBTORCH_DIR}/*.so*")
list(FILTER _torch_files EXCLUDE REGEX "/(libtorch_python|libshm)[^/]*$")
install(FILES ${_torch_files} DESTINATION ${_program_dir}/torch COMPONENT torch EXCLUDE_FROM_ALL)

# The list for scripts/uninstall, relative to the prefix; each component adds its own.
install(
  CODE [[
  get_filename_component(_prefix "${CMAKE_INSTALL_PREFIX}" ABSOLUTE)
  set(_list "$ENV{DESTDIR}${_prefix}/share/saferclip/manifest.txt")
  set(_lines share/saferclip/manifest.txt)
  if(EXISTS "${_list}")
    file(STRINGS "${_list}" _before)
    list(APPEND _lines ${_before})
  endif()
  foreach(_file IN LISTS CMAKE_INSTALL_MANIFEST_FILES)
    get_filename_component(_file "${_file}" ABSOLUTE)
    file(RELATIVE_PATH _relative "${_prefix}" "${_file}")
    list(APPEND _lines "${_relative}")
  endforeach()
  list(REMOVE_DUPLICATES _lines)
  list(SORT _lines)
  string(JOIN "\n" _text ${_lines})
  file(WRITE "${_list}" "${_text}\n")
]]
  ALL_COMPONENTS)

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGE_FILE_NAME "saferclip-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}")
include(CPack)
