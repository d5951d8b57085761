#!/bin/bash
# convert: a run goes out under Hugging Face's names, is evaluated there, and comes back to the same bits.
. tests/cli_util.sh

for i in $(seq 1 500); do echo "Line $i: the quick brown fox number $((i * 7919 % 1000)) jumps over the lazy dog."; done > "$work/text"
bits() { examples/evaluate --model "$1" --data "$work/text" --bytes 2048 --json | sed 's/.*\("bits_per_byte": *[0-9.]*\).*/\1/'; }

for model in gdn mamba2 rdn; do
  run=$work/$model
  examples/pretrain --data "$work/text" --out "$run" --model $model --layers 2 --width 32 --heads 2 --seq 32 --batch 2 --steps 4 \
    --save-every 0 --validate-every 0 --validation-bytes 2048 --sample 0 --quiet > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "$model does not train"; continue; }
  examples/convert "$run" "$work/$model-hf" --shard-size 1e4 > "$work/said" || fail "$model: to Hugging Face's names"
  ls "$work/$model-hf"/model-00002-of-*.safetensors > /dev/null || fail "$model: no shards"
  examples/convert "$work/$model-hf" "$work/$model-back" --to rill > /dev/null || fail "$model: back"
  cmp "$run/step-00000004/model.safetensors" "$work/$model-back/model.safetensors" || fail "$model: other bits came back"
  before=$(bits "$run") after=$(bits "$work/$model-hf")
  [ -n "$before" ] && [ "$before" = "$after" ] || fail "$model: $before before, $after after"
done
grep -q 'modeling_rill.py loads it: flash-linear-attention has no model for "rdn"' "$work/said" || fail "said $(cat "$work/said")"
grep -q '"model_type": "gated_deltanet"' "$work/gdn-hf/config.json" || fail "gdn: $(cat "$work/gdn-hf/config.json")"

examples/convert "$work/gdn" "$work/half" --dtype bf16 > /dev/null || fail "bf16"
[ "$(stat -c %s "$work/half/model.safetensors")" -lt "$(stat -c %s "$work/gdn-back/model.safetensors")" ] || fail "bf16 is not smaller"
expect 'has no model for "rdn"' examples/convert "$work/rdn" "$work/no" --to fla
expect "--force" examples/convert "$work/gdn" "$work/half"
expect "two folders are needed" examples/convert "$work/gdn"
expect "no such folder" examples/convert "$work/nothing" "$work/no"
examples/convert "$work/gdn" "$work/half" --force > /dev/null || fail "--force"
exit $failed
