# How tandem's own code is compiled: language level, build types, warnings, sanitizers, ccache, where binaries go.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()
# -g1: function names and lines in a crash's stack, at a tenth of the size of full debug information.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS")

# No path of the machine that built it in a binary or in a log line.
add_compile_options("-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
# A library that nothing needs is not loaded; see torch::cpu in TandemDependencies.cmake.
add_link_options(-Wl,--as-needed)

# Warnings are errors in our own code; generated code (proto/) and libraries' headers (SYSTEM) are left alone. Designated
# initialisers may leave fields at their defaults.
function(tandem_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-missing-field-initializers -Werror -Wswitch)
endfunction()

set(TANDEM_SANITIZE "" CACHE STRING "empty, 'address,undefined' or 'thread'")
if(TANDEM_SANITIZE)
  add_compile_options(-fsanitize=${TANDEM_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TANDEM_SANITIZE})
endif()

# ccache such that a clone in another folder hits: paths below the source folder are hashed relative to it.
find_program(TANDEM_CCACHE ccache)
if(TANDEM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${TANDEM_CCACHE}")
endif()
