#!/usr/bin/env bash
# The whole of tandem on this machine, from nothing: sets up, builds, starts the server, and then, with real data (Debian's
# package synopses and long descriptions), imports a model, indexes 10,000 documents, fine-tunes the model on 2,560 pairs
# and promotes a release with it, showing retrieval quality before and after on 500 held-out queries.
# Exit code 0: the fine-tuned release is better in nDCG@10, recall@10 and MRR@10.
#
#   deploy/demo.sh [--data-dir DIR] [--port PORT] [--keep-running] [--help]
#
#   --data-dir DIR   where the server keeps everything; emptied at the start. Default: build/demo/data
#   --port PORT      default: 7700, or the next free one
#   --keep-running   leave the server running at the end
set -euo pipefail

usage() { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
say() { printf '\n== %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
work="$root/build/demo"
data_dir="$work/data"
port=""
keep_running=0
while [ $# -gt 0 ]; do
  case "$1" in
    --data-dir) data_dir="${2:?--data-dir needs a directory}"; shift 2 ;;
    --port) port="${2:?--port needs a number}"; shift 2 ;;
    --keep-running) keep_running=1; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "demo: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
done
mkdir -p "$work"
data_dir="$(realpath -m "$data_dir")"
# Only a directory that a demo made, or an empty one, is emptied.
if [ -d "$data_dir" ] && [ ! -e "$data_dir/.tandem-demo" ] && [ -n "$(ls -A "$data_dir")" ]; then
  fail "$data_dir is not empty and no demo made it; name another --data-dir"
fi

# phase NAME COMMAND...: runs it and notes its wall time.
times="$work/times.tsv"
: >"$times"
phase() {
  local name="$1" begin end
  shift
  say "$name"
  begin="$(date +%s.%N)"
  "$@"
  end="$(date +%s.%N)"
  printf '%s\t%s\n' "$name" "$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.1f", b - a }')" >>"$times"
}

server_pid=""
stop_server() {
  if [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; then
    kill -TERM "$server_pid"
    wait "$server_pid" || true
  fi
  server_pid=""
}
on_exit() {
  local code=$?
  if [ "$code" != 0 ] && [ -n "$server_pid" ]; then
    echo "demo: failed; the end of the server's log, $work/tandemd.log:" >&2
    tail -n 20 "$work/tandemd.log" >&2 || true
    stop_server
  fi
}
trap on_exit EXIT

build() {
  cmake --preset release -S "$root" >"$work/configure.log" || fail "configuring failed: $work/configure.log"
  cmake --build "$root/build/release" --target tandemd tandem-trainer tandem
}

free_port() {
  python3 - <<'PYTHON'
import socket
for port in range(7700, 7800):
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(port)
        break
PYTHON
}

tandem() { "$root/build/release/bin/tandem" --server "127.0.0.1:$port" "$@"; }
report() { python3 "$root/deploy/demo_report.py" "$@"; }

start_server() {
  rm -rf "$data_dir"
  mkdir -p "$data_dir"
  touch "$data_dir/.tandem-demo"
  "$root/build/release/bin/tandemd" --listen "127.0.0.1:$port" --data-dir "$data_dir" >"$work/tandemd.log" 2>&1 &
  server_pid=$!
  local i
  for i in $(seq 100); do
    kill -0 "$server_pid" 2>/dev/null || fail "tandemd did not start: $work/tandemd.log"
    if tandem server info >/dev/null 2>&1; then break; fi
    [ "$i" != 100 ] || fail "tandemd does not answer on port $port"
    sleep 0.1
  done
  tandem server info
}

upload() {
  tandem dataset create debian-pairs
  tandem dataset append debian-pairs "$work/pairs/train.jsonl"
  tandem collection create debian
  tandem document import debian "$work/pairs/documents.jsonl"
  tandem evaluation create debian "$work/pairs/evaluation.jsonl" --id heldout --gate
}

first_release() {
  tandem release create debian --model mini/base --id base
  tandem release promote debian/base
}

# Batches of 32 pairs, one epoch.
train() {
  tandem --json train --base mini/base --dataset debian-pairs --batch-size 32 --max-length 128 --lr 5e-5 --epochs 1 \
    --watch >"$work/job.json"
  trained="$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["model_revision"])' "$work/job.json")"
  tandem model show "$trained"
}

search_all() {
  local queries
  mapfile -d '' queries < <(report texts "$work/pairs/evaluation.jsonl")
  tandem --json search debian --top-k 100 --ids-only -- "${queries[@]}" >"$1"
}

promote() {
  search_all "$work/before.jsonl"
  tandem --json release promote debian/tuned >"$work/promotion.json"
  search_all "$work/after.jsonl"
}

phase "set-up" "$root/deploy/setup.sh"
phase "build" build
model="${TANDEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem}/models/all-MiniLM-L6-v2"
if [ -z "$port" ]; then port="$(free_port)"; fi
phase "making the data" python3 "$root/deploy/debian_pairs.py" "$work/pairs"
phase "starting the server" start_server
phase "importing the model" tandem model import "$model" --model mini --revision base
phase "uploading the data" upload
phase "first release" first_release
phase "training" train
phase "release with the trained model" tandem release create debian --model "$trained" --id tuned
phase "promotion through the gate" promote

say "hits before and after"
report searches "$work/pairs/evaluation.jsonl" "$work/before.jsonl" "$work/after.jsonl"
say "retrieval quality before and after"
better=0
report metrics "$work/promotion.json" || better=$?
say "wall times"
report times "$times"

say "how to go on"
start="build/release/bin/tandemd --listen 127.0.0.1:$port --data-dir $data_dir"
if [ "$keep_running" = 1 ]; then
  echo "The server is still running: kill $server_pid stops it; its log is $work/tandemd.log."
  disown "$server_pid"
else
  stop_server
  echo "The server is stopped. Everything it knows is in $data_dir; start it again with"
  echo "  $start"
fi
cat <<TEXT
and then, from $root:
  export TANDEM_SERVER=127.0.0.1:$port
  build/release/bin/tandem search debian 'show how much disk space is free'
  build/release/bin/tandem release list debian
  build/release/bin/tandem release rollback debian
TEXT
exit "$better"
