#!/bin/bash
# A run that is killed, at named points of a checkpoint and at random times, and then resumed, ends with the same bits as one
# that was not: weights, optimizer, record.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }

for i in $(seq 1 3000); do echo "Line $i: the quick brown fox number $((i * 7919 % 1000)) jumps over the lazy dog."; done > "$work/text"

train() {  # train OUT [OPTION...]
  local out=$1
  shift
  examples/pretrain --data "$work/text" --out "$work/$out" --model rdn --layers 1 --width 32 --heads 2 --seq 32 --batch 2 \
    --steps 16 --save-every 4 --validate-every 8 --validation-bytes 2048 --sample 0 --quiet --threads 1 "$@" > "$work/log" 2>&1
}
same() {  # same OUT
  for file in model.safetensors training.safetensors; do
    cmp "$work/whole/step-00000016/$file" "$work/$1/step-00000016/$file" || fail "$1: $file differs"
  done
  strip='s/"seconds": *[^,}]*//'
  diff <(sed "$strip" "$work/whole/log.jsonl") <(sed "$strip" "$work/$1/log.jsonl") > /dev/null || fail "$1: log.jsonl differs"
}

train whole || { cat "$work/log"; fail "the run that is not killed"; }
[ -s "$work/whole/report.html" ] || fail "there is no report"
lowest=$(sed -n 's/.*"step": *\([0-9]*\).*"validation": *\([0-9.]*\).*/\2 \1/p' "$work/whole/log.jsonl" | sort -g | sed -n '1s/.* //p')
cmp "$work/whole/best/model.safetensors" "$(printf '%s/whole/step-%08d/model.safetensors' "$work" "$lowest")" ||
  fail "best is not the checkpoint of the lowest validation loss ($lowest)"
examples/evaluate --model "$work/whole/best" --data "$work/text" --bytes 2048 > /dev/null || fail "best cannot be evaluated"

# No checkpoint yet: resuming is an error, not a new beginning.
mkdir "$work/empty"
train empty --resume && fail "resumed from nothing"
grep -q "cannot resume" "$work/log" || { cat "$work/log"; fail "the message about nothing to resume from"; }

for point in before config model training latest after; do
  RILL_KILL_AT=after train "$point" && fail "$point: not killed"           # one whole checkpoint
  RILL_KILL_AT=$point train "$point" --resume && fail "$point: not killed" # killed in the next
  train "$point" --resume || { cat "$work/log"; fail "$point: resume"; }
  same "$point"
done

# Killed at any time, again and again, until it is through.
RILL_KILL_AT=after train random
for i in $(seq 1 8); do
  train random --resume &
  pid=$!
  sleep "0.0$((i * 37 % 97))"
  pkill -KILL -P $pid 2> /dev/null
  kill -KILL $pid 2> /dev/null
  wait $pid 2> /dev/null
done
train random --resume || grep -q "steps already" "$work/log" || { cat "$work/log"; fail "random: resume"; }
same random

# Another text, seed or size is another run.
train whole --resume --seed 2 --steps 20 && fail "resumed with another seed"
grep -q "started with another text, seed" "$work/log" || { cat "$work/log"; fail "the message about another seed"; }

# The number of threads changes nothing.
train threads --threads 3 || fail "three threads"
cmp "$work/whole/step-00000016/model.safetensors" "$work/threads/step-00000016/model.safetensors" || fail "3 threads differ"
exit $failed
