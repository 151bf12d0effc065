# Counts what the end-to-end tests find; source it, then call `expect` and at the end `summary`.
# shellcheck shell=bash

tests_passed=0 tests_failed=0

# expect NAME COMMAND...: passes when the command succeeds; shows its output when it does not.
expect() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    tests_passed=$((tests_passed + 1))
    echo "ok      $name"
  else
    tests_failed=$((tests_failed + 1))
    echo "FAILED  $name"
    printf '        %s\n' "$*" "${output:0:2000}"
  fi
}

# output_has TEXT COMMAND...: succeeds when the command's output, both streams, holds the text; its exit status does not matter.
output_has() {
  local text=$1 output
  shift
  output=$("$@" 2>&1 || true)
  [[ $output == *"$text"* ]] || { echo "no '$text' in: $output"; return 1; }
}

# eventually SECONDS COMMAND...: tries until it succeeds; shows the last output when it never does.
eventually() {
  local deadline=$((SECONDS + $1)) output
  shift
  while :; do
    if output=$("$@" 2>&1); then return 0; fi
    [[ $SECONDS -lt $deadline ]] || { echo "$output"; return 1; }
    sleep 0.2
  done
}

# fails COMMAND...: succeeds when the command does not.
fails() { ! "$@"; }

summary() {
  echo "$tests_passed passed, $tests_failed failed"
  [[ $tests_failed -eq 0 ]]
}
