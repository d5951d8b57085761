#!/bin/bash
# Lets libFuzzer loose on the parsers of files from strangers, with the address sanitizer.
#
#   tests/fuzz.sh [SECONDS [TARGET...]]       default: 60 seconds each, all targets
#
# Begins with tests/fuzz/corpus/TARGET; what it finds of interest goes to ~/.cache/rill/fuzz/TARGET. An
# input that fails is left there as crash-...; put it into the corpus when it is mended.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
third_party/install.sh sanitizers
third_party/bazel.sh build --config=fuzz //tests:fuzzer
program=$(third_party/bazel.sh info --config=fuzz bazel-bin 2> /dev/null)/tests/fuzzer
failed=0
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)
for target; do
  found=${XDG_CACHE_HOME:-$HOME/.cache}/rill/fuzz/$target
  mkdir -p "$found"
  echo "$target, $seconds s"
  RILL_FUZZ=$target "$program" -max_total_time="$seconds" -max_len=65536 -timeout=10 \
    -print_final_stats=1 -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/$target" \
    > "$found.log" 2>&1 || { failed=$((failed + 1)) && tail -n 20 "$found.log"; }
  grep -E 'stat::number_of_executed_units|stat::new_units_added' "$found.log" || true
done
echo "$failed of $# targets failed"
[ "$failed" -eq 0 ]
