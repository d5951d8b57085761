#!/bin/bash
# recall: a task is learnt and its model tested again; needles make a grid; results make a page; bad options give
# messages.
. tests/cli_util.sh
accuracy() {  # accuracy FILE LINE: that line's accuracy
  sed -n "$2p" "$1" | grep -o '"accuracy": [0-9.e-]*' | cut -d' ' -f2
}
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

small=(--width 32 --heads 2 --batch 32 --test-every 50 --test-examples 100 --quiet)
examples/recall --task mqar --model rdn --length 16 --pairs 2 --vocab 32 --steps 400 --until 0.95 --eval-lengths 32,64 \
  --out "$work/rdn" "${small[@]}" > "$work/log" || fail "mqar: $(cat "$work/log")"
[ "$(wc -l < "$work/rdn/results.jsonl")" = 3 ] || fail "three lengths give three lines"
above "$(accuracy "$work/rdn/results.jsonl" 1)" 0.9 || fail "mqar: $(cat "$work/log")"
grep -q '<h2>Loss</h2>' "$work/rdn/report.html" || fail "no report"

# The checkpoint, tested again, gives the same numbers and is not touched.
examples/recall --checkpoint "$work/rdn" --task mqar --length 16 --pairs 2 --vocab 32 --eval-lengths 32,64 --out "$work/again" \
  "${small[@]}" > "$work/log" || fail "checkpoint: $(cat "$work/log")"
for i in 1 2 3; do
  [ "$(accuracy "$work/rdn/results.jsonl" $i)" = "$(accuracy "$work/again/results.jsonl" $i)" ] || fail "line $i differs"
done

# A mixture of lengths; a fixed set of examples; an additive rule.
examples/recall --task mqar_forget --model sgla --train 16:1:2,24:2 --test 32:2 --vocab 32 --examples 64 --steps 20 \
  --out "$work/sgla" "${small[@]}" > /dev/null || fail "mixture"

# Depth by length, for tokens and for sentences; the second on a model of bytes that pretrain made.
examples/recall --task needle --model gdn --length 32 --vocab 64 --steps 20 --depths 3 --eval-lengths 64 --out "$work/needle" \
  "${small[@]}" > "$work/log" || fail "needle: $(cat "$work/log")"
[ "$(wc -l < "$work/needle/results.jsonl")" = 6 ] || fail "3 depths of 2 lengths"
grep -q '  1.00 .*%.*%' "$work/log" || fail "no grid: $(cat "$work/log")"
[ "$(grep -o '<rect class="cell"' "$work/needle/report.html" | wc -l)" = 6 ] || fail "no heat map"
seq 1 4000 > "$work/text"
examples/pretrain --data "$work/text" --out "$work/bytes" --model rla --layers 1 --width 16 --heads 1 --seq 32 --batch 4 \
  --steps 3 --warmup 1 --validation-bytes 1024 --sample 0 --quiet > "$work/log" || fail "pretrain: $(cat "$work/log")"
examples/recall --task needle_text --checkpoint "$work/bytes" --test 256,512 --depths 2 --test-examples 4 --out "$work/text_needle" \
  > "$work/log" || fail "needle_text: $(cat "$work/log")"
[ "$(wc -l < "$work/text_needle/results.jsonl")" = 4 ] || fail "2 depths of 2 lengths"

# A negative eigenvalue: beta up to 2 is an option of delta rules.
examples/recall --task parity --model deltanet --beta-max 2 --length 16 --steps 20 --out "$work/parity" "${small[@]}" > /dev/null ||
  fail "parity"
grep -q '"beta_max": 2' "$work"/parity/step-*/config.json || fail "beta_max is not in the checkpoint"

examples/recall --plot "$work/plot.html" "$work"/*/results.jsonl || fail "plot"
grep -q 'mqar, length 16, 2 pairs' "$work/plot.html" || fail "plot"

expect "did you mean 'mqar'" examples/recall --task mqra
expect "did you mean 'rdn'" examples/recall --model rdnn
expect "did you mean '--width'" examples/recall --witdh 3
expect "pairs must be from 1 to 4 here, not 9" examples/recall --length 16 --pairs 9
expect "expected LENGTH:PAIRS:WEIGHT" examples/recall --train 64:x
expect "heads" examples/recall --width 10 --heads 3 --out "$work/x"
expect "there are no pairs" examples/recall --task parity --pairs 4
expect "the model knows 32" examples/recall --checkpoint "$work/rdn" --out "$work/x"
expect "no such folder" examples/recall --checkpoint "$work/nothing" --out "$work/x"
expect "needs results.jsonl files" examples/recall --plot "$work/x.html"
expect "no result of recall" examples/recall --plot "$work/x.html" "$work/text"
expect "is no option" examples/recall "$work/text"
examples/recall --help | grep -q -- --eval-lengths || fail "--help"
exit $failed
