#!/bin/bash
# One Workspace from YAML to an answer, and what happens when something is wrong: tests/e2e/workspace.bash MODEL.gguf. Needs kaito on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/testing.bash
source tests/support/testing.bash

model=$1
work=$(mktemp -d)
data=$work/data
up() { kaito up --detach --data-dir "$data" --port 0 --registry-port 0; }
down() { kaito down --data-dir "$data"; }
trap 'down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
export HOME=$work KUBECONFIG=$data/kubeconfig
k() { timeout 90 kubectl "$@"; }
condition() { k get workspace "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].$3}"; }
address() { k get svc "$1" -o 'jsonpath={.spec.clusterIPs[0]}'; }
ask() {
  local ip
  ip=$(address "$1")
  curl -sS --max-time 60 -X POST "http://$ip/chat" -H 'Content-Type: application/json' -d "$2" ||
    curl -sS --max-time 60 -X POST "http://$ip:5000/chat" -H 'Content-Type: application/json' -d "$2"
}
# none_runs PATTERN: no process has it in its command line. One letter in brackets keeps the pattern from finding itself.
none_runs() { ! pgrep -fa "$1"; }

expect "up" up
expect "up again says so" output_has "runs already" up
expect "a second one in the foreground is refused" output_has "already running" timeout 10 kaito up --data-dir "$data"
expect "status" output_has "control plane" kaito status --data-dir "$data"
expect "the kubeconfig is private" test "$(stat -c %a "$KUBECONFIG")" = 600
port=$(kaito status --data-dir "$data" -o json | grep -oE '127.0.0.1:[0-9]+' | head -n 1 | cut -d: -f2)
expect "a port in use is named" output_has "$port" timeout 10 kaito up --data-dir "$work/other" --port "$port" --registry-port 0
expect "strangers are refused" output_has 401 curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/api/v1/pods"

# The guide's example, first without its image, then with a stand-in.
expect "apply the guide's example" k apply -f examples/guide/inference.yaml
expect "it says which image is missing" eventually 60 output_has "kaito model import" condition workspace-phi-3-mini InferenceReady message
expect "and is not ready" test "$(condition workspace-phi-3-mini WorkspaceReady status)" = False
python3 tests/support/make_tiny_gguf.py --family phi3 --out "$work/phi3.gguf"
expect "import a stand-in" kaito model import "$work/phi3.gguf" --name phi-3-mini-4k-instruct --data-dir "$data"
expect "it becomes ready" k wait --for=condition=WorkspaceReady workspace/workspace-phi-3-mini --timeout=90s
expect "and answers" output_has '"Result"' ask workspace-phi-3-mini '{"prompt":"Hello","generate_kwargs":{"max_length":40}}'
expect "the table says True three times" output_has "True" k get workspace workspace-phi-3-mini
expect "its ports are the guide's" output_has "80/TCP,29500/TCP" k get svc workspace-phi-3-mini
expect "the node says that its GPU is simulated" output_has SimulatedCapacity k get events -A
expect "delete it" k delete workspace workspace-phi-3-mini --timeout=60s
expect "nothing is left of it" eventually 30 output_has "No resources" k get pods,nodes,nodeclaims.karpenter.sh,svc -l kaito.sh/workspace

# The real model.
expect "a file that is no model is refused" output_has "not a GGUF" kaito model import "$0" --name phi-4 --data-dir "$data"
head -c 50000000 "$model" >"$work/cut.gguf"
expect "a truncated model is refused" output_has truncated kaito model import "$work/cut.gguf" --name phi-4 --data-dir "$data"
expect "import the real model" kaito model import "$model" --name smollm2-135m-instruct --data-dir "$data"
expect "apply" k apply -f examples/quickstart/workspace.yaml
expect "ready" k wait --for=condition=WorkspaceReady workspace/workspace-smollm2 --timeout=90s
expect "Japan" output_has Tokyo ask workspace-smollm2 '{"prompt":"What is the capital of Japan?","generate_kwargs":{"do_sample":false}}'
expect "kaito chat" output_has H2O kaito chat workspace-smollm2 "What is the chemical symbol for water?" --data-dir "$data"

# Faults.
pod_uid() { k get pod workspace-smollm2-0 -o 'jsonpath={.metadata.uid}'; }
server=$(pgrep -f "kaito-server --model" | head -n 1)
kill -9 "$server"
expect "a killed server is noticed" eventually 30 bash -c "[[ \$(kubectl get pod workspace-smollm2-0 -o 'jsonpath={.status.containerStatuses[0].restartCount}') -ge 1 ]]"
expect "and comes back" k wait --for=condition=WorkspaceReady workspace/workspace-smollm2 --timeout=60s
expect "delete the pod" k delete pod workspace-smollm2-0 --timeout=60s
expect "it comes back too" eventually 60 ask workspace-smollm2 '{"prompt":"What is the capital of Japan?"}'

boss=$(kaito status --data-dir "$data" -o json | grep -oE '"pid":[0-9]+' | cut -d: -f2)
kill -9 "$boss"
expect "no process outlives kaito up" eventually 10 none_runs "kaito-server --mode[l]"
expect "up after kill -9" up
expect "the Workspace is still there and becomes ready" eventually 60 bash -c "kubectl wait --for=condition=WorkspaceReady workspace/workspace-smollm2 --timeout=5s && curl -s http://\$(kubectl get svc workspace-smollm2 -o 'jsonpath={.spec.clusterIPs[0]}'):80/health"
expect "one node, one claim, one pod" bash -c "[[ \$(kubectl get nodes -o name | wc -l) == 1 && \$(kubectl get nodeclaims -o name | wc -l) == 1 && \$(kubectl get pods -o name | wc -l) == 1 ]]"
expect "down" down
expect "nothing runs after down" none_runs "$work/dat[a]"
summary
