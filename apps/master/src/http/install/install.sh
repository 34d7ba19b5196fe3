#!/bin/sh
# Installs the worker of a Semantics Cluster and starts it. `sc join` on the master's machine prints the line that runs
# this, with a code that is good for one worker. Linux and macOS.
#
#   --dir FOLDER   where to; default: sc-worker in your home folder
#   --no-start     install and join, no more
#   others go to `sc-worker run`: --name, --concurrency, --queues, --gpus, and so on
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

# It replaces what is there.
may_replace() {
  [ ! -e "$1/.git" ] || return 1
  [ -e "$1/sc-worker" ] || [ -e "$1/.worker.tar.gz" ] || [ -z "$(ls "$1" 2>/dev/null)" ]
}

# A number of a process is used again; where there is no /proc, that it runs is all that is known.
runs() {
  kill -0 "$1" 2>/dev/null || [ -e "/proc/$1" ] || return 1
  [ ! -r "/proc/$1/stat" ] || [ "$(sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 20)" = "$2" ]
}

# Else its files would change while it runs.
not_running() {
  for lock in "$1"/data/workers/*/lock; do
    [ -e "$lock" ] || continue
    read -r pid started <"$lock" || true
    if [ -n "$pid" ] && runs "$pid" "$started"; then
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
  printf 'Authorization: Bearer %s' "$code" | curl -fsSL -H @- -o "$archive" "$master/worker/worker.tar.gz" || {
    # As curl says that it could not write.
    [ $? -ne 23 ] || fail "$1 cannot be written: is the disk full?"
    fail "$master did not give its files. Is this machine in the network or tailnet of the master?"
  }
  [ "$(sum_of "$archive")" = "$sha256" ] || fail "what came from $master is damaged. Paste the line again."
  # Files that this version no longer has must not stay; without its stamp, `sc-worker` goes on with an installation.
  (cd "$1" && rm -rf .cache/python.stamp apps/*/src packages/*/src bootstrap python-gpu && tar -xzf .worker.tar.gz && rm .worker.tar.gz) ||
    fail "$1 cannot be written."
}

main() {
  unset dir
  start=yes
  # What is left over is the worker's.
  count=$#
  while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
      --dir)
        dir=
        if [ "$count" -gt 0 ]; then dir=$1; shift; count=$((count - 1)); fi ;;
      --dir=*) dir=${argument#--dir=} ;;
      --no-start) start=no ;;
      *) set -- "$@" "$argument" ;;
    esac
  done
  if [ -z "${dir+given}" ]; then
    [ -n "${HOME:-}" ] || fail 'HOME is not set. Say where to: --dir FOLDER.'
    dir=$HOME/sc-worker
  fi
  case $dir in '' | -*) fail 'after --dir comes the folder.' ;; esac
  needs
  may_replace "$dir" || fail "$dir has other files, which it would replace. Take another folder: --dir FOLDER."
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
