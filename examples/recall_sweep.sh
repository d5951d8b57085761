#!/bin/bash
# The field's setting of multi-query associative recall, for every model: accuracy against the size of the state.
#
#   examples/recall_sweep.sh OUT                 the small setting: length 128, 8 pairs, widths 32 and 64
#   examples/recall_sweep.sh OUT full            that of "Zoology": mixed lengths, tested up to length 1024 with 256
#                                                pairs, widths 64, 128 and 256, four learning rates (days on a CPU)
#   MODELS="gdn rdn" WIDTHS="64" RATES="1e-2" SEEDS="1 2" examples/recall_sweep.sh OUT    some of it
#   RECALL_OPTIONS="--device cuda"                                                        options for every run
#
# A run leaves its results in OUT/NAME/results.jsonl; runs whose results are there are skipped, so that the script goes
# on where it was stopped. At the end, and after each run, OUT/recall.html shows what there is. RLA and RDN hold two
# states, S and R, and both are counted: at one width they have twice the state of the others, so compare along the axis.
set -euo pipefail
[ $# -ge 1 ] && [ "${1#-}" = "$1" ] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 2; }
out=$1 setting=${2:-small}

case $setting in
  small)
    task=(--task mqar --length 128 --pairs 8)
    : "${WIDTHS=32 64}" "${RATES=5e-3 1e-2}" ;;
  full)
    task=(--task mqar --train 64:4:5,128:8,256:16,256:32,256:64 --batch 256 --steps 22500 --until 2 --examples 100000
      --test 64:4,64:8,64:16,128:32,256:64,512:128,1024:256 --test-examples 1000 --test-every 700)
    : "${WIDTHS=64 128 256}" "${RATES=1e-3 3.2e-3 1e-2 3.2e-2}" ;;
  *) echo "recall_sweep.sh: the setting is small or full, not '$setting'" >&2; exit 2 ;;
esac
: "${MODELS=linear_attention retnet sgla gla mamba2 deltanet gdn rla rdn transformer}" "${SEEDS=1}"
read -ra options <<< "${RECALL_OPTIONS:-}"

if [ -z "${RECALL:-}" ]; then
  here=$PWD
  cd "$(dirname "$0")/.."
  build=(--noshow_progress --show_result=0 --ui_event_filters=-info)
  third_party/bazel.sh build "${build[@]}" //examples:recall >&2
  RECALL=$(third_party/bazel.sh info "${build[@]}" bazel-bin 2> /dev/null)/examples/recall
  cd "$here"
fi
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
mkdir -p "$out"

draw() { "$RECALL" --plot "$out/recall.html" "$out"/*/results.jsonl; }

failed=0
for seed in $SEEDS; do
  for width in $WIDTHS; do
    for model in $MODELS; do
      for rate in $RATES; do
        run=$out/$model-width$width-lr$rate-seed$seed
        [ -s "$run/results.jsonl" ] && continue
        echo "$model, width $width, learning rate $rate, seed $seed"
        "$RECALL" "${task[@]}" --model "$model" --width "$width" --lr "$rate" --seed "$seed" --out "$run" --quiet --no-save \
          ${options[@]+"${options[@]}"} || { failed=1; continue; }
        draw
      done
    done
  done
done
draw
echo "$out/recall.html"
exit $failed
