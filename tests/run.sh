#!/usr/bin/env bash
# The whole check, from a fresh clone on Debian 12: set-up, configure, build, every test. Exits with ctest's status.
#   tests/run.sh [ctest argument...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

times=()
# phase NAME COMMAND...: runs the command; a failure ends the run with the command's status.
phase() {
  local name="$1" start=$SECONDS status=0
  shift
  echo "=== $name"
  "$@" || status=$?
  times+=("$name $((SECONDS - start)) s")
  if [ "$status" != 0 ]; then
    echo "=== $name failed with status $status (${times[*]/%/;})" >&2
    exit "$status"
  fi
}

phase set-up bash deploy/setup.sh --with-test-tools
phase configure cmake --preset release
phase build cmake --build --preset release
# One test program at a time: torch and FAISS use every core themselves, and timings would disturb each other.
status=0
start=$SECONDS
echo "=== test"
ctest --preset release --output-on-failure --no-tests=error "$@" || status=$?
times+=("test $((SECONDS - start)) s")
printf '=== time: %s\n' "$(printf '%s, ' "${times[@]}" | sed 's/, $//')"
exit "$status"
