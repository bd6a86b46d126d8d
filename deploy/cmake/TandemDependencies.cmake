# Finds every library that tandem links. Debian's come from the system; LibTorch and FAISS from the private prefix that
# deploy/setup.sh makes. The version numbers here are the ones in that script.

if(DEFINED ENV{TANDEM_CACHE})
  set(tandem_prefix "$ENV{TANDEM_CACHE}")
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(tandem_prefix "$ENV{XDG_CACHE_HOME}/tandem")
else()
  set(tandem_prefix "$ENV{HOME}/.cache/tandem")
endif()
set(TANDEM_PREFIX "${tandem_prefix}" CACHE PATH "what deploy/setup.sh made: LibTorch, FAISS, the test model")

set(tandem_torch_root "${TANDEM_PREFIX}/libtorch-2.15.0")
set(tandem_faiss_root "${TANDEM_PREFIX}/faiss")
set(TANDEM_TEST_MODEL_DIR "${TANDEM_PREFIX}/models/all-MiniLM-L6-v2")
foreach(needed "${tandem_torch_root}/lib/libtorch_cpu.so" "${tandem_faiss_root}/lib/libfaiss.a"
        "${TANDEM_TEST_MODEL_DIR}/model.safetensors")
  if(NOT EXISTS "${needed}")
    message(FATAL_ERROR "${needed} is missing: run deploy/setup.sh first")
  endif()
endforeach()

find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(fmt CONFIG REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(roaring CONFIG REQUIRED)
find_package(SQLiteCpp CONFIG REQUIRED)
find_package(LibArchive REQUIRED)

find_library(tandem_openblas_library openblas REQUIRED)
add_library(tandem_openblas INTERFACE IMPORTED GLOBAL)
target_link_libraries(tandem_openblas INTERFACE "${tandem_openblas_library}")

# LibTorch for the CPU. find_package(Torch) on a wheel asks for a CUDA toolkit, so the target is made here. It names
# OpenBLAS only to put it behind libtorch_cpu on every link line: FAISS then takes sgemm_ from the MKL inside
# libtorch_cpu (2.5 times as fast) and LAPACK, which libtorch_cpu lacks, from OpenBLAS. --as-needed drops it elsewhere.
add_library(torch::c10 SHARED IMPORTED GLOBAL)
set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION "${tandem_torch_root}/lib/libc10.so")
add_library(torch::cpu SHARED IMPORTED GLOBAL)
set_target_properties(torch::cpu PROPERTIES IMPORTED_LOCATION "${tandem_torch_root}/lib/libtorch_cpu.so")
target_include_directories(torch::cpu SYSTEM INTERFACE
  "${tandem_torch_root}/include" "${tandem_torch_root}/include/torch/csrc/api/include")
target_link_libraries(torch::cpu INTERFACE torch::c10 tandem_openblas Threads::Threads)
# The wheel's libraries find libgomp, libcudart and libcupti beside themselves; the linker has to be told.
target_link_options(torch::cpu INTERFACE "-Wl,-rpath-link,${tandem_torch_root}/lib")

# OpenMP is the wheel's libgomp everywhere, so that a process never holds two.
add_library(tandem_gomp SHARED IMPORTED GLOBAL)
set_target_properties(tandem_gomp PROPERTIES IMPORTED_LOCATION "${tandem_torch_root}/lib/libgomp.so.1")

add_library(faiss::faiss STATIC IMPORTED GLOBAL)
set_target_properties(faiss::faiss PROPERTIES IMPORTED_LOCATION "${tandem_faiss_root}/lib/libfaiss.a")
target_include_directories(faiss::faiss SYSTEM INTERFACE "${tandem_faiss_root}/include")
target_link_libraries(faiss::faiss INTERFACE tandem_gomp tandem_openblas Threads::Threads)

# tandem_add_cargo_library(NAME FOLDER): the Rust static library NAME (crate-type staticlib) as an imported target. Cargo's
# target folder lies in the prefix, so that clones share the compiled crates; the library is copied into this build.
# Cargo knows its sources better than CMake, so it is asked at every build (0.1 s when nothing changed).
find_program(TANDEM_CARGO cargo HINTS ENV CARGO_HOME PATH_SUFFIXES bin REQUIRED)
function(tandem_add_cargo_library name folder)
  set(library "${CMAKE_BINARY_DIR}/cargo/lib${name}.a")
  set(built "${TANDEM_PREFIX}/cargo-target/release/lib${name}.a")
  add_custom_target(${name}_cargo
    COMMAND "${CMAKE_COMMAND}" -E env "CARGO_TARGET_DIR=${TANDEM_PREFIX}/cargo-target"
            "${TANDEM_CARGO}" build --release --locked --quiet --manifest-path "${folder}/Cargo.toml"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_BINARY_DIR}/cargo"
    COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${built}" "${library}"
    BYPRODUCTS "${library}"
    COMMENT "Building the Rust library ${name}" USES_TERMINAL VERBATIM)
  add_library(${name} STATIC IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${library}")
  target_link_libraries(${name} INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
  add_dependencies(${name} ${name}_cargo)
endfunction()
