#!/bin/bash
# evaluate on questions: a model that has learned a text finds its lines likelier than others; runs are compared in one page.
. tests/cli_util.sh

for i in $(seq 1 2000); do echo "Line $i: the quick brown fox number $((i * 7919 % 1000)) jumps over the lazy dog."; done > "$work/text"
for model in rdn gdn; do
  examples/pretrain --data "$work/text" --out "$work/$model" --model $model --layers 2 --width 32 --heads 2 --seq 64 --batch 4 \
    --steps 60 --warmup 10 --save-every 0 --validate-every 30 --validation-bytes 2048 --sample 0 --quiet > "$work/log" 2>&1 ||
    { cat "$work/log"; fail "$model does not train"; }
done

for i in $(seq 1 20); do
  echo "{\"context\": \"Line $i: the quick\", \"choices\": [\" purple monkeys\", \" brown fox\", \" zebra\"], \"answer\": 1}"
done > "$work/questions"
for i in $(seq 1 5); do
  echo "{\"doc\": {}, \"target\": \"0\", \"arguments\": {\"gen_args_0\": {\"arg_0\": \"Line $i: the\", \"arg_1\": \" quick\"}, \"gen_args_1\": {\"arg_0\": \"Line $i: the\", \"arg_1\": \" kciuq\"}}}"
  echo "{\"context\": \"Line $i: the quick brown fox\", \"choices\": [\" number\"]}"
  echo "{\"text\": \"$(sed -n "$i"p "$work/text")\"}"
done >> "$work/questions"
examples/evaluate --model "$work/rdn" --questions "$work/questions" --batch 16 --json --out "$work/results" > "$work/answer" 2>&1 || fail "evaluate: $(cat "$work/answer")"
grep -q '"questions": 35, "acc": 1.000000' "$work/answer" || fail "acc: $(cat "$work/answer")"
grep -q '"bits_per_byte": [0-3]\.' "$work/answer" || fail "bits per byte: $(cat "$work/answer")"
[ "$(wc -l < "$work/results")" = 35 ] || fail "$(wc -l < "$work/results") results"
grep -q '^{"line": 1, "loglikelihood": \[-[0-9.]*, -[0-9.]*, -[0-9.]*\], "greedy": \[false, [a-z]*, false\], "pick": 1, "answer": 1}$' "$work/results" || fail "$(head -1 "$work/results")"

expect "is required" examples/evaluate --model "$work/rdn"
expect "give one of them" examples/evaluate --model "$work/rdn" --data "$work/text" --questions "$work/questions"
echo '{"context": "a"' > "$work/bad"
expect "bad:1: not JSON" examples/evaluate --model "$work/rdn" --questions "$work/bad"

# Both runs on one page, with a line of a log damaged; the event files are there.
ls "$work"/rdn/events.out.tfevents.* > /dev/null || fail "no event file"
sed -i '7s/"loss"/loss/' "$work/gdn/log.jsonl"
examples/report "$work/rdn" "$work/gdn" --out "$work/page.html" > "$work/answer" 2>&1 || fail "report: $(cat "$work/answer")"
grep -qF "gdn: line 7: not a JSON object (1 damaged lines are left out)" "$work/answer" || fail "the damaged line: $(cat "$work/answer")"
[ "$(grep -c " 60 .* 60$" "$work/answer")" = 2 ] || fail "the results: $(cat "$work/answer")"
grep -q "<td>model</td><td>rdn</td><td>gdn</td>" "$work/page.html" || fail "the settings that differ"
grep -q "<td>lr</td>" "$work/page.html" && fail "settings that do not differ"
examples/pretrain --config "$work/rdn/settings.json" --out "$work/again" --steps 2 --quiet > "$work/log" 2>&1 || fail "the settings as --config: $(cat "$work/log")"
expect "which runs?" examples/report
expect "No such file" examples/report "$work/nothing"
expect "is not the log of a run: line 1" examples/report "$work/text"
exit $failed
