#!/bin/bash
# Each of the ten models learns, can be evaluated and continues a prompt; bad options and files give messages.
. tests/cli_util.sh

for i in $(seq 1 3000); do echo "Line $i: the quick brown fox number $((i * 7919 % 1000)) jumps over the lazy dog."; done > "$work/text"

for model in transformer linear_attention retnet mamba2 sgla gla deltanet gdn rla rdn; do
  examples/pretrain --data "$work/text" --out "$work/$model" --model $model --layers 2 --width 64 --heads 2 --seq 64 \
    --batch 4 --steps 60 --warmup 10 --save-every 0 --validate-every 0 --validation-bytes 4096 --sample 20 --quiet \
    > "$work/log" 2>&1 || { cat "$work/log"; fail "$model does not train"; continue; }
  fall=$(awk -F'"loss": *' '{split($2, a, ","); if (NR == 1) first = a[1]; last = a[1]} END {print (last < first - 1.5)}' \
    "$work/$model/log.jsonl")
  [ "$fall" = 1 ] || { cat "$work/$model/log.jsonl" | tail -2; fail "$model does not learn"; }
  examples/evaluate --model "$work/$model" --data "$work/text" --bytes 8192 --json | grep -q bits_per_byte || fail "$model: evaluate"
  a=$(examples/generate --model "$work/$model" --prompt "Line 1" --length 20 --seed 3 | cksum)
  b=$(examples/generate --model "$work/$model" --prompt "Line 1" --length 20 --seed 3 | cksum)
  [ "$a" = "$b" ] || fail "$model: the same seed gives another text"
done

expect "steps" examples/pretrain --data "$work/text" --step 5
expect "--model" examples/pretrain --data "$work/text" --model rdm
expect "did you mean \`rdn" examples/pretrain --data "$work/text" --model rdnn
expect "No such file" examples/pretrain --data "$work/nothing" --out "$work/x"
expect "--data is required" examples/pretrain
expect "lr" examples/pretrain --data "$work/text" --lr fast
expect "heads" examples/pretrain --data "$work/text" --width 10 --heads 3 --out "$work/x"
expect "device cuda cannot be used" examples/pretrain --data "$work/text" --device cuda
expect "holds no checkpoint" examples/generate --model "$work"
expect "no such folder" examples/evaluate --model "$work/nothing" --data "$work/text"
expect "there is no rule" examples/recur --rule rnd --in a --out b
expect "--in and --out are required" examples/recur --rule rdn
expect "there is no op" examples/gradcheck --op nothing
head -c 100 "$work/rdn/step-00000060/model.safetensors" > "$work/cut" && mv "$work/cut" "$work/rdn/step-00000060/model.safetensors"
expect "model.safetensors" examples/generate --model "$work/rdn"
examples/gradcheck --rule rdn | grep -q "all derivatives are right" || fail "gradcheck --rule rdn"
examples/pretrain --help | grep -q -- --resume || fail "--help"
exit $failed
