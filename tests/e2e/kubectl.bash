#!/bin/bash
# What stock kubectl does against `kaito up`: tests/e2e/kubectl.bash KUBECTL. Needs kaito on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/testing.bash
source tests/support/testing.bash

kubectl=$1
work=$(mktemp -d)
trap 'kaito down --data-dir "$work/data" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
kaito up --detach --data-dir "$work/data" --port 0 --registry-port 0 >/dev/null
KUBECONFIG=$work/data/kubeconfig
HOME=$work  # kubectl keeps a discovery cache there
export KUBECONFIG HOME
k() { timeout 60 "$kubectl" "$@"; }

cat >"$work/config.yaml" <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: demo}}
data: {color: blue, size: "1"}
Y
cat >"$work/pod.yaml" <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: talker, labels: {app: demo}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: kaito-runtime:test
      command: ["/bin/sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.2; done; echo color $COLOR; sleep 30"]
      env:
        - name: COLOR
          valueFrom: {configMapKeyRef: {name: settings, key: color}}
Y
cat >"$work/node.yaml" <<'Y'
apiVersion: karpenter.sh/v1
kind: NodeClaim
metadata: {name: testnode}
spec:
  nodeClassRef: {group: kaito.sh, kind: KaitoNodeClass, name: default}
  requirements:
    - {key: node.kubernetes.io/instance-type, operator: In, values: [Standard_NC6s_v3]}
Y

expect "version reaches the server" k version
expect "api-resources lists workspaces" output_has workspaces k api-resources
expect "api-versions" output_has kaito.sh/v1alpha1 k api-versions
expect "create" k create -f "$work/config.yaml"
expect "create refuses a namesake" output_has AlreadyExists k create -f "$work/config.yaml"
expect "apply takes over" k apply -f "$work/config.yaml"
sed -i 's/color: blue/color: green/' "$work/config.yaml"
expect "apply changes" output_has configured k apply -f "$work/config.yaml"
expect "apply again changes nothing" output_has unchanged k apply -f "$work/config.yaml"
expect "server-side apply" k apply --server-side --force-conflicts -f "$work/config.yaml"
expect "server-side apply conflict" output_has conflict bash -c "sed 's/color: green/color: red/' '$work/config.yaml' | timeout 60 '$kubectl' apply --server-side --field-manager=other -f -"
expect "get table" output_has "NAME" k get configmap settings
expect "get wide" k get configmap settings -o wide
expect "get yaml" output_has "color: green" k get configmap settings -o yaml
expect "get json" output_has '"color": "green"' k get configmap settings -o json
expect "get jsonpath" output_has green k get configmap settings -o 'jsonpath={.data.color}'
expect "get by label" output_has settings k get configmap -l app=demo
expect "get by label finds nothing" output_has "No resources" k get configmap -l app=other
expect "get in all namespaces" output_has default k get configmap -A
expect "label" k label configmap settings tier=one
expect "annotate" k annotate configmap settings note=x
expect "label is there" output_has one k get configmap settings -o 'jsonpath={.metadata.labels.tier}'
expect "patch merge" k patch configmap settings --type merge -p '{"data":{"size":"2"}}'
expect "patch json" k patch configmap settings --type json -p '[{"op":"replace","path":"/data/size","value":"3"}]'
expect "patch strategic" k patch configmap settings -p '{"data":{"extra":"y"}}'
expect "patches are there" output_has '3y' k get configmap settings -o 'jsonpath={.data.size}{.data.extra}'
expect "edit" env EDITOR="sed -i s/green/yellow/" "$kubectl" edit configmap settings
expect "edit is there" output_has yellow k get configmap settings -o 'jsonpath={.data.color}'
expect "describe" output_has yellow k describe configmap settings
expect "explain" output_has instanceType k explain workspace.resource
expect "explain a built-in" output_has containers k explain pod.spec

expect "a claim becomes a node" k apply -f "$work/node.yaml"
expect "wait for a condition" k wait --for=condition=Ready nodeclaim/testnode --timeout=30s
expect "nodes show as Ready" eventually 20 output_has Ready k get nodes
expect "create a pod" k apply -f "$work/pod.yaml"
expect "wait for a pod" k wait --for=condition=Ready pod/talker --timeout=30s
expect "logs -f follows" output_has "color yellow" timeout 5 "$kubectl" logs -f talker
expect "logs --tail" output_has "color yellow" k logs talker --tail=1
expect "get -w shows changes" bash -c "timeout 6 '$kubectl' get configmap -w >'$work/watch' & sleep 2; '$kubectl' label configmap settings seen=1 >/dev/null; wait; [[ \$(grep -c settings '$work/watch') -ge 2 ]]"
expect "describe a pod names its events" output_has Scheduled k describe pod talker
expect "describe a node" output_has Capacity k describe node testnode
expect "delete a pod" k delete pod talker --timeout=30s
expect "delete a claim takes its node" k delete nodeclaim testnode --timeout=30s
expect "the node is gone" output_has "No resources" k get nodes

cat >"$work/bad.yaml" <<'Y'
apiVersion: kaito.sh/v1beta1
kind: Workspace
metadata: {name: bad}
resource: {count: many, labelSelector: {matchLabels: {a: b}}}
inference: {preset: {name: phi-4}}
Y
expect "a wrong type names the field" output_has resource.count k apply -f "$work/bad.yaml"
sed -i 's/many/1/' "$work/bad.yaml"
expect "a missing field is named" output_has resource.instanceType k apply -f "$work/bad.yaml"
printf 'a: [1\n' >"$work/broken.yaml"
expect "broken YAML is refused" fails k apply -f "$work/broken.yaml"
expect "namespaces" k create namespace other
expect "objects in a namespace" k -n other create configmap inside --from-literal=a=b
expect "delete a namespace with what is in it" k delete namespace other --timeout=30s
expect "it is gone" output_has "not found" k get namespace other
expect "delete" k delete configmap settings
expect "deleted" output_has "not found" k get configmap settings
summary
