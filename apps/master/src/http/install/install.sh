#!/bin/sh
# Installs the worker of a Semantics Cluster and starts it. `sc join` on the master's machine prints the line that runs
# this, with a code that is good for one worker. Linux and macOS.
#
#   --dir FOLDER   where to; default: sc-worker in your home folder
#   --no-start     install and join, no more
#   others go to `sc-worker run`: --name, --concurrency, --queues, --gpus, …
set -eu

master='@MASTER@'
broker='@BROKER@'
code='@CODE@'
sha256='@SHA256@'

say() { printf '%s\n' "$*" >&2; }
fail() { say "sc-worker was not installed: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

is_python() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

needs() {
  has node && node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' && has npx ||
    fail 'it needs Node 20 or later, with npm. Get it from https://nodejs.org (macOS: brew install node), then paste the line again.'
  for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
    if is_python "$name"; then python=$name; break; fi
  done
  [ -n "${python:-}" ] ||
    fail 'it needs Python 3.10 or later (Debian, Ubuntu: apt-get install python3 python3-venv; macOS: brew install python). Then paste the line again.'
  has tar || fail 'it needs tar. Install it, then paste the line again.'
}

# Else its files would change while it runs.
not_running() {
  for lock in "$1"/data/workers/*/lock; do
    [ -e "$lock" ] || continue
    read -r pid _ <"$lock" || true
    if kill -0 "${pid:-0}" 2>/dev/null; then
      fail "a worker of $1 runs (process $pid). Stop it, with Ctrl-C where it was started, then paste the line again."
    fi
  done
}

sum_of() {
  if has sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

unpack() {
  mkdir -p "$1"
  archive=$1/.worker.tar.gz
  printf 'Authorization: Bearer %s' "$code" | curl -fsSL -H @- -o "$archive" "$master/worker/worker.tar.gz" ||
    fail "$master did not give its files. Is this machine in the network or tailnet of the master?"
  [ "$(sum_of "$archive")" = "$sha256" ] || fail "what came from $master is damaged. Paste the line again."
  # Files that this version no longer has must not stay.
  (cd "$1" && rm -rf apps/*/src packages/*/src bootstrap python-gpu && tar -xzf .worker.tar.gz && rm .worker.tar.gz) ||
    fail "$1 cannot be written."
}

main() {
  dir=$HOME/sc-worker
  start=yes
  # What is left over is the worker's.
  count=$#
  while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
      --dir) dir=$1; shift; count=$((count - 1)) ;;
      --no-start) start=no ;;
      *) set -- "$@" "$argument" ;;
    esac
  done
  needs
  not_running "$dir"
  say "Installing the worker in $dir"
  unpack "$dir"
  SC_BROKER=$broker node "$dir/bootstrap/install.mjs" --worker "$@" </dev/null || exit 1
  say ''
  say "Installed. From now on, this starts it: $dir/sc-worker run"
  if [ "$start" = yes ]; then
    exec "$dir/sc-worker" run "$@" </dev/null
  fi
}

main "$@"
