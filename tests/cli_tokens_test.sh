#!/bin/bash
# Tokens that are no bytes, from end to end: a tokenizer is trained, travels in the checkpoint and is taken up again; shards of
# llm.c train; what cannot be is said.
. tests/cli_util.sh
train() {  # train OUT OPTION...
  local out=$1
  shift
  examples/pretrain --out "$work/$out" --model rdn --layers 1 --width 32 --heads 2 --seq 32 --batch 2 --validate-every 0 \
    --validation-bytes 4096 --sample 20 --quiet --threads 1 "$@" > "$work/log" 2>&1 || { cat "$work/log"; fail "$out: $*"; }
}
field() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"; }

for i in $(seq 1 3000); do echo "Line $i: the quick brown fox number $((i * 7919 % 1000)) jumps over the lazy dog."; done > "$work/text"
printf 'zero \0 and \377 bytes\n' >> "$work/text"

# Killed and resumed, the run is the same run, and its tokenizer is the checkpoint's.
train whole --data "$work/text" --tokenizer bpe:400 --steps 12 --save-every 4
RILL_KILL_AT=after examples/pretrain --data "$work/text" --tokenizer bpe:400 --out "$work/killed" --model rdn --layers 1 --width 32 \
  --heads 2 --seq 32 --batch 2 --validate-every 0 --validation-bytes 4096 --steps 12 --save-every 4 --quiet --threads 1 \
  > "$work/log" 2>&1 && fail "not killed"
train killed --data "$work/text" --steps 12 --save-every 4 --resume
for file in model.safetensors training.safetensors tokenizer.model; do
  cmp "$work/whole/step-00000012/$file" "$work/killed/step-00000012/$file" || fail "resumed: $file differs"
done
grep -q "bits per byte on .* trigram" "$work/log" || fail "no bits per byte"

# Bits per byte count the bytes of the text, whatever the tokens are.
train bytes --data "$work/text" --steps 12 --save-every 0
for model in whole bytes; do
  examples/evaluate --model "$work/$model" --data "$work/text" --seq 64 --json > "$work/$model.json" || fail "evaluate $model"
done
size=$(stat -c %s "$work/text")
for model in whole bytes; do
  bytes=$(field bytes < "$work/$model.json")
  [ "$bytes" -gt $((size - 1500)) ] && [ "$bytes" -le "$size" ] || fail "$model was measured on $bytes of $size bytes"
done
[ "$(field tokens < "$work/whole.json")" -lt $((size / 2)) ] || fail "pieces are no longer than bytes"
[ -n "$(examples/generate --model "$work/whole" --prompt 'Line 7' --length 20 --no-echo)" ] || fail "generate"

# Documents read apart: every file of a folder is one. The update is another, also when it is resumed and recomputed.
mkdir "$work/files"
for i in $(seq 1 120); do echo "File $i of many, with the number $((i * 7919 % 1000)) in it." > "$work/files/$i"; done
train through --data "$work/files" --steps 8 --save-every 0
train packed --data "$work/files" --steps 8 --save-every 0 --packed
cmp -s "$work/through/step-00000008/model.safetensors" "$work/packed/step-00000008/model.safetensors" && fail "--packed does nothing"
train again --data "$work/files" --steps 4 --save-every 0 --packed --schedule constant --warmup 0 --recompute -1
train again --data "$work/files" --steps 8 --save-every 0 --packed --schedule constant --warmup 0 --resume
train steady --data "$work/files" --steps 8 --save-every 0 --packed --schedule constant --warmup 0
cmp "$work/again/step-00000008/model.safetensors" "$work/steady/step-00000008/model.safetensors" || fail "packed and resumed"
examples/evaluate --model "$work/packed" --data "$work/files" --seq 64 --packed --json | grep -q bits_per_byte || fail "evaluate --packed"

# Shards as llm.c writes them: magic 20240520, version 1, count, zeros up to 1024 bytes, then 2 bytes a token.
mkdir "$work/shards"
for name in train val; do
  {
    printf '\x88\xd8\x34\x01\x01\0\0\0\x20\x4e\0\0' # 20000 tokens
    head -c 1012 /dev/zero
    yes abcdefghijklmno | head -c 40000
  } > "$work/shards/x_${name}_0.bin"
done
train numbers --data "$work/shards" --steps 4 --save-every 0
grep -q "nats per token" "$work/log" || { cat "$work/log"; fail "shards without a tokenizer"; }
expect "unknown tokenizer" examples/generate --model "$work/numbers" --length 1
examples/evaluate --model "$work/numbers" --data "$work/shards/x_val_0.bin" --json | grep -q '"bits_per_byte": null' ||
  fail "evaluate on numbers"

expect "'bqe:400' is no tokenizer" examples/pretrain --data "$work/text" --tokenizer bqe:400 --out "$work/x"
expect "cannot be trained on this text" examples/pretrain --data "$work/text" --tokenizer bpe:30000 --out "$work/x"
expect "documents cannot be told apart" examples/pretrain --data "$work/shards" --packed --layers 1 --width 32 --heads 2 --out "$work/x"
expect "holds tokens already" examples/pretrain --data "$work/shards" --tokenizer bpe:400 --out "$work/x"
head -c 3000 "$work/shards/x_val_0.bin" > "$work/cut.bin"
expect "its header says 20000 tokens" examples/pretrain --data "$work/cut.bin" --out "$work/x"
echo rubbish > "$work/whole/step-00000012/tokenizer.model"
expect "tokenizer.model': it is no SentencePiece model" examples/generate --model "$work/whole"
exit $failed
