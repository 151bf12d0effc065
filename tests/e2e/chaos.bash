#!/bin/bash
# Kills `kaito up`, its shims, servers and init containers at random for a while; afterwards everything must be as declared:
# tests/e2e/chaos.bash MODEL.gguf [SECONDS] [SEED]. Needs kaito on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/testing.bash
source tests/support/testing.bash

model=$1 duration=${2:-45} seed=${3:-$RANDOM}
RANDOM=$seed
work=$(mktemp -d)
data=$work/chaos
up() { kaito up --detach --data-dir "$data" --port 0 --registry-port 0; }
trap 'kaito down --data-dir "$data" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
export HOME=$work KUBECONFIG=$data/kubeconfig
k() { timeout 60 kubectl "$@"; }
# The processes of this run: all carry the folder in a command line, or hang below one that does.
boss() { cat "$data/run.json" 2>/dev/null | grep -oE '"pid":[0-9]+' | cut -d: -f2; }
descendants() { local child; for child in $(pgrep -P "$1"); do echo "$child"; descendants "$child"; done; }

echo "seed $seed, $duration s"
expect "up" up
kaito model import "$model" --name smollm2-135m-instruct --data-dir "$data" >/dev/null
expect "apply" k apply -f examples/quickstart/workspace.yaml
expect "ready before" k wait --for=condition=WorkspaceReady workspace/workspace-smollm2 --timeout=90s

kills=0 restarts=0 deadline=$((SECONDS + duration))
while [[ $SECONDS -lt $deadline ]]; do
  sleep "0.$((RANDOM % 9 + 1))"
  pid=$(boss || true)
  if [[ -z $pid ]] || ! kill -0 "$pid" 2>/dev/null; then
    up >/dev/null 2>&1 || true
    restarts=$((restarts + 1))
    continue
  fi
  mapfile -t victims < <(descendants "$pid")
  victims+=("$pid")
  victim=${victims[$((RANDOM % ${#victims[@]}))]}
  kill -9 "$victim" 2>/dev/null && kills=$((kills + 1)) || true
  # Now and then the user changes something in the middle of it.
  case $((RANDOM % 8)) in
    0) k annotate workspace workspace-smollm2 "chaos=$RANDOM" --overwrite >/dev/null 2>&1 || true ;;
    1) k delete pod workspace-smollm2-0 --wait=false >/dev/null 2>&1 || true ;;
  esac
done
echo "$kills kills, $restarts restarts"
up >/dev/null 2>&1 || true  # Refused when it runs; asking for its process could find one that was just killed.

expect "many were killed" test "$kills" -ge $((duration / 4))
expect "ready again" eventually 120 k wait --for=condition=WorkspaceReady workspace/workspace-smollm2 --timeout=10s
answer() { curl -sS --max-time 30 -X POST "http://$(k get svc workspace-smollm2 -o 'jsonpath={.spec.clusterIPs[0]}'):$1/chat" -d '{"prompt":"What is the capital of Japan?","generate_kwargs":{"do_sample":false}}' -H 'Content-Type: application/json'; }
expect "it answers" eventually 30 bash -c "$(declare -f k answer output_has); output_has Tokyo answer 80 || output_has Tokyo answer 5000"
count_is() { local n; n=$(k get "$1" -A -o name | wc -l); [[ $n -eq $2 ]] || { k get "$1" -A; return 1; }; }
expect "one claim" count_is nodeclaims 1
expect "one node" count_is nodes 1
expect "one pod" eventually 30 count_is pods 1
servers() { local n; n=$(pgrep -fc "kaito-server --model" || true); [[ $n -eq $1 ]] || { pgrep -fa "kaito-server --mode[l]"; return 1; }; }
expect "one server process" eventually 10 servers 1
expect "down" kaito down --data-dir "$data"
expect "no process is left" eventually 10 servers 0
summary
