#!/bin/bash
# prepare: the same shards for any number of threads, a manifest that sha256sum agrees with, and pretrain takes them.
. tests/cli_util.sh

mkdir "$work/text"
for d in $(seq 1 40); do
  for i in $(seq 1 100); do echo "Document $d, line $i: the quick brown fox number $((i * d * 7919 % 1000)) jumps over the lazy dog."; done \
    > "$work/text/$d.txt"
done
for i in $(seq 1 500); do
  printf '{"id": %d, "body": "Entry %d.\\nIts number is %d, and its caf\\u00e9 is closed."}\n' "$i" "$i" $((i * 31 % 97))
done > "$work/text/x.jsonl"

prepare() { examples/prepare --field body --validation-every 20 --shard-tokens 20000 "$@" "$work/text" > "$work/log" 2>&1; }
prepare --out "$work/a" --tokenizer bpe:500 --threads 1 || { cat "$work/log"; fail "one thread"; }
prepare --out "$work/b" --tokenizer bpe:500 --threads 3 || { cat "$work/log"; fail "three threads"; }
prepare --out "$work/c" --tokenizer "$work/a" --threads 2 || { cat "$work/log"; fail "a tokenizer that is there"; }
grep -q "540 documents" "$work/log" || { cat "$work/log"; fail "the count of documents"; }
diff -r "$work/a" "$work/b" || fail "the shards depend on the threads"
diff -r "$work/a" "$work/c" || fail "the shards depend on where the tokenizer is from"
[ -s "$work/a/train_000001.bin" ] && [ -s "$work/a/val_000000.bin" ] || fail "the shards are not there"
sed -n 's/.*"file": "\(.*\)".*/\1/p' "$work/a/manifest.json" > "$work/files"
sed -n 's/.*"sha256": "\(.*\)".*/\1/p' "$work/a/manifest.json" | paste -d ' ' - "$work/files" | sed 's/ /  /' |
  (cd "$work/a" && sha256sum --quiet -c) || fail "the hashes of the manifest"

examples/pretrain --data "$work/a" --out "$work/run" --model gdn --layers 1 --width 32 --heads 2 --seq 32 --batch 2 --steps 6 \
  --validate-every 0 --validation-bytes 4096 --sample 10 --quiet > "$work/log" 2>&1 || { cat "$work/log"; fail "pretrain"; }
grep -q "bits per byte on .* held-out bytes" "$work/log" || fail "bits per byte of shards"
cmp "$work/a/tokenizer.model" "$work/run/step-00000006/tokenizer.model" || fail "the tokenizer is not in the checkpoint"
examples/evaluate --model "$work/run" --data "$work/a/val_000000.bin" --seq 32 > /dev/null || fail "evaluate on a shard"
examples/evaluate --model "$work/run" --data "$work/text/7.txt" --seq 32 > /dev/null || fail "evaluate on a text"

expect "is there already" examples/prepare --out "$work/a" "$work/text"
expect "line 1: it is no object with a text 'text'" examples/prepare --out "$work/x" "$work/text/x.jsonl"
expect "--out is required" examples/prepare "$work/text"
expect "nothing to read" examples/prepare --out "$work/x"
expect "No such file" examples/prepare --out "$work/x" "$work/nothing"
expect "is no tokenizer" examples/prepare --out "$work/x" --tokenizer wordpiece:5 "$work/text"
[ ! -e "$work/x" ] && [ ! -e "$work/x.part" ] || fail "what failed left something"
head -c 30000 "$work/a/train_000000.bin" > "$work/cut" && mv "$work/cut" "$work/a/train_000000.bin"
expect "train_000000.bin': its header says 20000 tokens" examples/pretrain --data "$work/a" --out "$work/y"
exit $failed
