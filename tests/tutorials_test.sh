#!/bin/bash
# Every tutorial runs, says something, and exits with 0.
set -u
cd "${TEST_SRCDIR:?}/${TEST_WORKSPACE:?}/examples" || exit 1
ran=0 failed=0
for tutorial in [0-9]*; do
  ran=$((ran + 1))
  if ! output=$("./$tutorial" 2>&1) || [ -z "$output" ]; then
    echo "$tutorial failed; its output was:"
    echo "$output"
    failed=1
  fi
done
[ "$ran" -gt 0 ] || { echo "there is no tutorial to run"; exit 1; }
exit "$failed"
