#!/bin/bash
# Everything that needs a GPU: tests, sanitizers, benchmarks; a short table at the end.
#
#   tests/gpu.sh [--quick] [--build] [FOLDER]
#
# FOLDER holds the programs gpu_test, recurrence_gpu_bench and step_bench (also as .xz), carried from
# the machine that built them:
#   third_party/bazel.sh build --config=static --config=checked //tests:gpu_test
#   third_party/bazel.sh build --config=static //tests:bench/recurrence_gpu_bench //tests:bench/step_bench
# --build makes them here instead. --quick leaves out the sanitizers and the benchmarks.
# Ends with `N passed, N failed`, counted; logs are in FOLDER/logs.
set -u

quick= build= folder=
for argument; do
  case $argument in
    --quick) quick=1 ;;
    --build) build=1 ;;
    -h | --help)
      sed -n '2,11s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    -*)
      echo "gpu.sh: there is no option $argument; see --help" >&2
      exit 2
      ;;
    *) folder=$argument ;;
  esac
done
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${folder:-$root/.gpu}
mkdir -p "$folder" && cd "$folder" || exit 2

take() { # TARGET ARGUMENTS...: builds it and copies it here
  local target=$1
  shift
  (cd "$root" && third_party/bazel.sh build --config=static "$@" "$target") || exit 1
  local bin
  bin=$(cd "$root" && third_party/bazel.sh info bazel-bin 2> /dev/null)
  cp -f "$bin/tests/${target#//tests:}" "$folder/"
}
if [ -n "$build" ]; then
  take //tests:gpu_test --config=checked
  take //tests:bench/recurrence_gpu_bench
  take //tests:bench/step_bench
fi
for packed in *.xz; do
  [ -e "$packed" ] && [ ! -e "${packed%.xz}" ] && xz -dk "$packed"
done
if [ ! -x gpu_test ]; then
  echo "gpu.sh: there is no gpu_test in $folder; build it (see --help)" >&2
  exit 2
fi
if ! nvidia-smi -L > /dev/null 2>&1; then
  echo "gpu.sh: there is no GPU on this machine" >&2
  exit 2
fi

export RILL_TEST_DEVICE=cuda OMP_WAIT_POLICY=passive
mkdir -p logs
passed=0 failed=0 table=

# NAME FILTER [PREFIX...]: one run of the tests, counted by test.
tests() {
  local name=$1 filter=$2 log=logs/$1.log start=$SECONDS ok bad word=passed
  shift 2
  "$@" ./gpu_test --gtest_filter="$filter" > "$log" 2>&1
  local status=$?
  ok=$(grep -c '^\[       OK \]' "$log")
  bad=$(grep -c '^\[  FAILED  \].* ms)$' "$log")
  # A run that was stopped, that reported errors, or in which nothing ran, has failed.
  if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  [ "$bad" -gt 0 ] && word=FAILED
  passed=$((passed + ok)) failed=$((failed + bad))
  table+=$(printf '%-24s %6d passed %4d failed %5d s  %s' "$name" "$ok" "$bad" $((SECONDS - start)) $word)$'\n'
}

# TOOL FILTER: compute-sanitizer over small shapes.
sanitize() {
  tests "$1" "$2" compute-sanitizer --tool "$1" --error-exitcode 9
}

tests values 'All/Op.Values/*:All/Op.IsComplete/*:Ops.*'
tests refusals 'All/Op.Refuses*'
tests gradients 'All/OpGradient.*'
tests recurrence '*EveryRule*:Recur*:*Recur*:*GpuRule*'
tests optimizers '*Optim*:*AdamW*:*Sgd*:*Clip*'
tests captures 'Capture*'
RILL_TEST_REPEATS=${RILL_TEST_REPEATS:-50} tests same-bits 'All/Op.SameBits*'
if [ -z "$quick" ]; then
  if command -v compute-sanitizer > /dev/null; then
    small='All/GpuRule.ClosedGates/rdn:All/GpuRule.PackedSequences/rla:All/GpuRule.ClosedGates/gdn'
    small+=':All/OpGradient.LowPrecision/rmsnorm:All/OpGradient.LowPrecision/attention'
    small+=':All/OpGradient.LowPrecision/conv1d_causal:All/OpGradient.LowPrecision/index_select'
    small+=':Capture.EveryReplay*:Capture.WrongIndices*'
    for tool in memcheck initcheck synccheck; do sanitize $tool "$small"; done
    # Slow where kernels use much shared memory: small shapes of the largest kernels alone.
    sanitize racecheck 'All/GpuRule.ClosedGates/rdn:All/OpGradient.LowPrecision/rmsnorm'
  else
    echo "gpu.sh: compute-sanitizer was not found; its four checks did not run" >&2
    failed=$((failed + 4))
  fi
  for bench in recurrence_gpu_bench "step_bench launches" "step_bench cuda gdn rla rdn"; do
    set -- $bench
    [ -x "$1" ] && "./$@" 2>&1 | tee "logs/${bench// /_}.log"
  done
fi
echo
printf '%s' "$table"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
