#!/bin/bash
# Teaching through the Kubernetes API: a Job, an adapter image, the same Workspace serving it, another one serving it with a strength, and
# what happens when something is wrong: tests/e2e/tuning.bash MODEL.gguf. Needs kaito, kaito-server and kaito-tuner on PATH. The training is
# short: whether it teaches anything is what run-teach-test looks at.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/testing.bash
source tests/support/testing.bash

model=$1
work=$(mktemp -d)
data=$work/data
down() { kaito down --data-dir "$data"; }
trap 'down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
export HOME=$work KUBECONFIG=$data/kubeconfig
k() { timeout 200 kubectl "$@"; }
condition() { k get workspace "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].$3}"; }
ask() {
  local ip
  ip=$(k get svc "$1" -o 'jsonpath={.spec.clusterIPs[0]}')
  curl -sS --max-time 60 "$3" -H 'Content-Type: application/json' "http://$ip$2" || curl -sS --max-time 60 "$3" -H 'Content-Type: application/json' "http://$ip:5000$2"
}
adapters() { ask "$1" /v1/adapters -sS; }
starts_of() { k get pod "$1-0" -o 'jsonpath={.metadata.uid} {.status.containerStatuses[0].restartCount}'; }

kaito up --detach --data-dir "$data" --port 0 --registry-port 0 >/dev/null
registry=$(kaito status --data-dir "$data" | grep -oE 'registry +[0-9.:]+' | grep -oE '[0-9.]+:[0-9]+')
kaito model import "$model" --name smollm2-135m-instruct --data-dir "$data" >/dev/null
mkdir "$work/rows"
head -n 4 examples/quickstart/teach/train.jsonl >"$work/rows/train.jsonl"
expect "push a data set" kaito image push "$work/rows" "$registry/rows:1" --kind dataset --data-dir "$data"

# tuning NAME INPUT OUTPUT [ANNOTATION]
tuning() {
  cat <<YAML
apiVersion: kaito.sh/v1alpha1
kind: Workspace
metadata: {name: $1, annotations: {${4:-}}}
resource: {instanceType: Standard_NC6s_v3, labelSelector: {matchLabels: {app: $1}}}
tuning:
  preset: {name: smollm2-135m-instruct}
  method: qlora
  config: short
  input: {$2}
  output: {$3, imagePushSecret: push}
YAML
}
k create configmap short --from-literal=training_config.yaml='training_config:
  QuantizationConfig: {load_in_4bit: true, bnb_4bit_quant_type: nf4}
  LoraConfig: {r: 4, lora_alpha: 8, target_modules: all-linear}
  TrainingArguments: {per_device_train_batch_size: 1, max_steps: 3, max_length: 64}' >/dev/null
k create secret docker-registry push --docker-server="$registry" --docker-username=u --docker-password=p >/dev/null

tuning teach "image: $registry/rows:1" "image: $registry/taught:1" | k apply -f - >/dev/null
expect "a tuning ends by serving what it made" k wait --for=condition=WorkspaceReady workspace/teach --timeout=180s
expect "its job has started and ended" output_has "$registry/taught:1" condition teach JobStarted message
expect "the table says True three times" output_has "True            True             True" k get workspace teach
expect "its ports are the guide's" output_has "80/TCP,29500/TCP" k get svc teach
expect "it answers" output_has '"Result"' ask teach /chat '-d{"prompt":"What is the capital of Japan?","generate_kwargs":{"do_sample":false}}'
expect "it serves its adapter" output_has '"state":"loaded"' adapters teach
expect "the adapter is an image that names its model" output_has smollm2-135m-instruct kaito image inspect "$registry/taught:1" --data-dir "$data"

# Another Workspace serves it; what changes about adapters restarts nothing.
serving() {
  cat <<YAML
apiVersion: kaito.sh/v1alpha1
kind: Workspace
metadata: {name: serve}
resource: {instanceType: Standard_NC6s_v3, labelSelector: {matchLabels: {apps: serve}}}
inference:
  preset:
    name: smollm2-135m-instruct
    accessMode: private
    presetOptions: {image: "$registry/kaito-smollm2-135m-instruct:latest", imagePullSecrets: [push]}
  adapters: [$1]
YAML
}
serving "{source: {name: taught, image: '$registry/taught:1'}, strength: '1.0'}" | k apply -f - >/dev/null
expect "a second Workspace serves the image, its model pulled with a secret" k wait --for=condition=WorkspaceReady workspace/serve --timeout=90s
before=$(starts_of serve)
expect "with its strength" output_has '"strength":1E0' adapters serve
serving "{source: {name: taught, image: '$registry/taught:1'}, strength: '0.5'}" | k apply -f - >/dev/null
expect "another strength is followed" eventually 30 output_has '"strength":5E-1' adapters serve
expect "and ready again" k wait --for=condition=WorkspaceReady workspace/serve --timeout=60s
serving "{source: {name: none, image: '$registry/none:1'}}" | k apply -f - >/dev/null
expect "an adapter that is not there is named" eventually 60 output_has "adapter none" condition serve WorkspaceReady message
expect "and the Workspace is not ready" eventually 60 output_has AdapterNotLoaded condition serve WorkspaceReady reason
serving "" | k apply -f - >/dev/null
expect "without it, it is ready" eventually 60 output_has True condition serve WorkspaceReady status
expect "and no adapter is left" eventually 30 output_has '"data":[]' adapters serve
expect "no pod was restarted for any of it" test "$(starts_of serve)" = "$before"
k delete workspace serve --timeout=60s >/dev/null

# Nothing is held that nobody asked for.
tuning once "image: $registry/rows:1" "image: $registry/once:1" 'kaito.sh/serve-after-tuning: "false"' | k apply -f - >/dev/null
expect "a tuning that is not to serve succeeds" k wait --for=condition=WorkspaceSucceeded workspace/once --timeout=180s
expect "and its node goes" eventually 60 output_has "No resources" k get nodes,nodeclaims.karpenter.sh -l kaito.sh/workspace=once
expect "while the Workspace says what was done" output_has Succeeded k get workspace once -o wide
printf 'no json at all\n' >"$work/rows/train.jsonl"
kaito image push "$work/rows" "$registry/broken:1" --kind dataset --data-dir "$data" >/dev/null
tuning broken "image: $registry/broken:1" "image: $registry/broken-out:1" | k apply -f - >/dev/null
expect "rows that are none end the tuning" eventually 150 output_has TuningFailed condition broken WorkspaceReady reason
expect "with the file and the row" output_has "train.jsonl" condition broken WorkspaceReady message
expect "and its node goes, too" eventually 60 output_has "No resources" k get nodes,nodeclaims.karpenter.sh -l kaito.sh/workspace=broken
tuning unpushable "image: $registry/rows:1" 'image: "127.0.0.1:1/nowhere:1"' | k apply -f - >/dev/null
expect "an output that cannot be pushed is found out before the training" eventually 60 output_has push-check condition unpushable JobStarted message
expect "delete them all" k delete workspace --all --timeout=120s
expect "nothing is left of them" eventually 60 output_has "No resources" k get jobs,pods,nodes,nodeclaims.karpenter.sh,svc,configmaps -l kaito.sh/workspace
expect "down" down
expect "no tuner or server runs" eventually 10 fails pgrep -fa "$data"
summary
