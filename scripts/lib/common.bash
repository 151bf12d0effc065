# Shared by the scripts: messages with times, the cache folder, and what has to be installed.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${KAITO_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kaito-cpp}
started=$SECONDS
mkdir -p "$cache"
# Clones in other folders share compiled objects.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-5G}

# step TEXT: names what happens next, with the time since the start.
step() { printf '\n==> [%3ds] %s\n' $((SECONDS - started)) "$*"; }
note() { printf '    %s\n' "$*"; }
# fail TEXT...: says what is wrong and what to do, then ends.
fail() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

# The Debian 12 packages a build needs.
build_packages=(ca-certificates ccache cmake curl g++ git mold ninja-build pkg-config
  libboost1.81-dev libboost-json1.81-dev libcurl4-openssl-dev libssl-dev libyaml-cpp-dev libfmt-dev libcli11-dev
  libarchive-dev libzstd-dev zlib1g-dev libsqlite3-dev prometheus-cpp-dev libre2-dev)

# install_packages NAME...: installs those that are missing; asks for nothing when all are there.
install_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  note "installing ${#missing[@]} packages: ${missing[*]}"
  if [[ $EUID -ne 0 ]]; then
    fail "these packages are missing and installing them needs root: ${missing[*]}" \
      "run once: sudo apt-get install ${missing[*]}"
  fi
  local log=$cache/apt.log
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
    { tail -n 15 "$log" >&2; fail "apt-get could not install the packages" "the whole log is $log"; }
}

# ensure_command COMMAND PACKAGE...: installs the packages only when the command is absent (another
# origin of the same tool is as good).
ensure_command() {
  command -v "$1" >/dev/null || install_packages "${@:2}"
}

# build_tree PRESET [CMAKE-ARGUMENT...]: configures build/PRESET and builds it with progress in tenths.
# The targets come from the array `targets`; empty builds everything.
build_tree() {
  local preset=$1 log
  shift
  log=$root/build/$preset.log
  mkdir -p "$root/build"
  cmake --preset "$preset" -S "$root" "$@" >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; fail "configuring the build failed" "the whole log is $log"; }
  local arguments=()
  [[ ${#targets[@]} -eq 0 ]] || arguments=(--target "${targets[@]}")
  if ! cmake --build "$root/build/$preset" "${arguments[@]}" 2>&1 | tee -a "$log" | build_progress; then
    fail "the build failed" "the whole log is $log"
  fi
}

# Turns ninja's [n/m] lines into one line per tenth; lets errors through.
build_progress() {
  awk '/^\[[0-9]+\/[0-9]+\]/ { split(substr($1, 2), n, "/"); p = int(n[1] * 10 / n[2])
         if (p != last) { last = p; print "    built " p * 10 "%"; fflush() } next }
       /error|Error|FAILED|undefined reference/ { print; fflush() }'
}
