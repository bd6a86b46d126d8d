# Functions with which the folders declare their targets.

# tandem_library(NAME SOURCES file... LIBS target...): one static library of a folder. Headers are included from the root
# of the repository. LIBS is passed to target_link_libraries (PUBLIC and PRIVATE may stand in it).
function(tandem_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name} ${arg_LIBS})
  tandem_warnings(${name})
endfunction()

# tandem_program(NAME SOURCES file... LIBS target...): one program in <build>/bin.
function(tandem_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBS")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  tandem_warnings(${name})
endfunction()

# tandem_use_torch(TARGET): links LibTorch PRIVATE and takes its precompiled headers, which save 15 s for each file that
# includes torch. Only for server/encoder, server/training and their tests.
function(tandem_use_torch target)
  if(NOT TARGET tandem_torch_pch)
    set(source "${CMAKE_BINARY_DIR}/tandem_torch_pch.cc")
    file(CONFIGURE OUTPUT "${source}" CONTENT "// Only the precompiled headers matter.\n")
    add_library(tandem_torch_pch OBJECT "${source}")
    target_link_libraries(tandem_torch_pch PRIVATE torch::cpu)
    target_precompile_headers(tandem_torch_pch PRIVATE <torch/torch.h> <string> <vector> <memory> <cstdint>)
    tandem_warnings(tandem_torch_pch)
    target_compile_options(tandem_torch_pch PRIVATE -fpch-preprocess)
  endif()
  target_link_libraries(${target} PRIVATE torch::cpu)
  # ccache can handle GCC's precompiled headers only with this flag.
  target_compile_options(${target} PRIVATE -fpch-preprocess)
  target_precompile_headers(${target} REUSE_FROM tandem_torch_pch)
endfunction()

# tandem_test(NAME SOURCES file... LIBS target... [TORCH] [NO_MAIN] [TIMEOUT seconds] [LABELS label...]): one GoogleTest
# program, run by ctest from the root of the repository. TORCH: its files include torch headers.
# The environment names what tests start or read: TANDEM_BIN_DIR, TANDEM_TEST_MODEL_DIR, TANDEM_GRPCURL, TANDEM_PYTHON;
# the macro TANDEM_TEST_MODEL_DIR is there too, so that a test program also runs by hand.
function(tandem_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH;NO_MAIN" "TIMEOUT" "SOURCES;LIBS;LABELS")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gmock)
  if(NOT arg_NO_MAIN)
    target_link_libraries(${name} PRIVATE GTest::gtest_main)
  endif()
  target_compile_definitions(${name} PRIVATE "TANDEM_TEST_MODEL_DIR=\"${TANDEM_TEST_MODEL_DIR}\"")
  tandem_warnings(${name})
  if(arg_TORCH)
    tandem_use_torch(${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  tandem_test_properties(${name} "${arg_TIMEOUT}" "${arg_LABELS}")
endfunction()

# tandem_python_test(NAME SCRIPT [ARGS arg...] [TIMEOUT seconds] [LABELS label...]): a script for the system's Python.
function(tandem_python_test name script)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "TIMEOUT" "ARGS;LABELS")
  add_test(NAME ${name} COMMAND "${TANDEM_PYTHON}" "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${arg_ARGS})
  tandem_test_properties(${name} "${arg_TIMEOUT}" "${arg_LABELS}")
endfunction()

function(tandem_test_properties name timeout labels)
  if(NOT timeout)
    set(timeout 300)
  endif()
  set(environment
      "TANDEM_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}" "TANDEM_TEST_MODEL_DIR=${TANDEM_TEST_MODEL_DIR}"
      "TANDEM_GRPCURL=${TANDEM_PREFIX}/bin/grpcurl" "TANDEM_PYTHON=${TANDEM_PYTHON}"
      "TANDEM_PYTHON_PROTO=${CMAKE_BINARY_DIR}/proto/python" "PYTHONDONTWRITEBYTECODE=1")
  set_tests_properties(${name} PROPERTIES WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" TIMEOUT ${timeout}
                                          LABELS "${labels}" ENVIRONMENT "${environment}")
endfunction()
