#!/bin/bash
# The server, as clients see it: answers, streams, 64 clients at once, limits, broken requests, connections that drop, the end.
set -u
work=$(mktemp -d)
servers=()
trap 'for pid in "${servers[@]}"; do kill -KILL $pid 2> /dev/null; done; rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }

for i in $(seq 1 2000); do echo "Line $i: the quick brown fox number $((i * 7919 % 1000)) jumps over the lazy dog."; done > "$work/text"
examples/pretrain --data "$work/text" --out "$work/run" --model rdn --layers 2 --width 32 --heads 2 --seq 64 --batch 4 --steps 60 \
  --warmup 10 --save-every 0 --validate-every 0 --validation-bytes 2048 --sample 0 --quiet > "$work/log" 2>&1 ||
  { cat "$work/log"; echo "FAILED: no model to serve"; exit 1; }

start() {  # start NAME [OPTION...]: sets $pid and $url
  local name=$1
  shift
  examples/serve --model "$work/run" --port 0 --threads 1 "$@" > "$work/$name.log" 2>&1 &
  pid=$!
  servers+=("$pid")
  for _ in $(seq 200); do
    url=$(sed -n 's,.* on \(http://[^/]*\)/v1/completions.*,\1,p' "$work/$name.log")
    [ -n "$url" ] && return
    sleep 0.05
  done
  cat "$work/$name.log"
  fail "the server $name does not start"
}
ends() {  # ends PID: it must end by itself, with status 0
  local pid=$1
  for _ in $(seq 100); do
    kill -0 "$pid" 2> /dev/null || break
    sleep 0.1
  done
  kill -0 "$pid" 2> /dev/null && { fail "server $pid is still there"; return; }
  wait "$pid" || fail "server $pid ended with status $?"
}
ask() { curl -sS --max-time 60 "$url/v1/completions" -H 'Content-Type: application/json' -d "$@"; }
plain() { sed 's/"id":"[^"]*",//; s/"created":[0-9]*,//'; }  # without what differs from answer to answer
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
expect() {  # expect STATUS MESSAGE CURL-ARGUMENT...
  local status=$1 message=$2 got
  shift 2
  got=$(curl -sS --max-time 60 -o "$work/answer" -w '%{http_code}' "$@" 2>> "$work/answer")
  [ "$got" = "$status" ] || fail "$*: status $got, not $status: $(head -c 500 "$work/answer")"
  grep -qF -- "$message" "$work/answer" || fail "$*: said $(head -c 500 "$work/answer"), not: $message"
}
idle() {  # the server must have let go of all requests
  for _ in $(seq 100); do
    curl -sS --max-time 10 "$url/health" | grep -q '"requests":0' && return
    sleep 0.1
  done
  fail "requests are left: $(curl -sS --max-time 10 "$url/health")"
}

start main
expect 200 '"status":"ok"' "$url/health"
expect 200 '"id":"rdn","object":"model"' "$url/v1/models"
expect 200 '"tokens":[76,105]' "$url/tokenize" -d '{"prompt": "Li"}'
expect 200 '"prompt":"Li"' "$url/detokenize" -d '{"tokens": [76, 105]}'
expect 200 '"eos_token":"\u0000"' "$url/tokenizer_info"

# An answer, in its forms.
long='{"prompt": "Line 7", "max_tokens": 40, "temperature": 0}'
text=$(ask "$long" | field text)
[ ${#text} = 40 ] || fail "not 40 bytes: $text"
[ "$(ask '{"prompt": [76, 105, 110, 101, 32, 55], "max_tokens": 40, "temperature": 0}' | field text)" = "$text" ] || fail "tokens as prompt"
[ "$(ask '{"prompt": "Line 7", "max_tokens": 40, "temperature": 0, "echo": true}' | field text)" = "Line 7$text" ] || fail "echo"
[ "$(ask "${long%\}}, \"stream\": true}" | field text | tr -d '\n')" = "$text" ] || fail "the stream's text is another"
ask "${long%\}}, \"stream\": true}" | tail -n 2 | head -n 1 | grep -qx 'data: \[DONE\]' || fail "the stream does not end with [DONE]"
ask "${long%\}}, \"stream\": true, \"stream_options\": {\"include_usage\": true}}" | grep -q '"choices":\[\],"usage":{"prompt_tokens":6,"completion_tokens":40,"total_tokens":46}' || fail "the stream's usage"
ask "{\"prompt\": \"Line 7\", \"max_tokens\": 40, \"temperature\": 0, \"stop\": [\"never\", \"${text:9:4}\"]}" > "$work/answer"
grep -q '"finish_reason":"stop"' "$work/answer" || fail "stop: $(cat "$work/answer")"
before=${text%%"${text:9:4}"*}
[ "$(field text < "$work/answer")" = "$before" ] || fail "stop leaves $(field text < "$work/answer"), not $before"
[ "$(ask "{\"prompt\": \"Line 7\", \"max_tokens\": 40, \"temperature\": 0, \"stream\": true, \"stop\": \"${text:9:4}\"}" | field text | tr -d '\n')" = "$before" ] || fail "stop in a stream"
ask '{"prompt": "Line 7", "max_tokens": 0, "echo": true, "logprobs": 1}' > "$work/answer"
grep -q '"token_logprobs":\[null,-[0-9.e-]*,-[0-9.e-]*,-[0-9.e-]*,-[0-9.e-]*,-[0-9.e-]*\]' "$work/answer" || fail "logprobs: $(cat "$work/answer")"
grep -q '"text_offset":\[0,1,2,3,4,5\]' "$work/answer" || fail "offsets: $(cat "$work/answer")"
warm='{"prompt": "Line 7", "max_tokens": 30, "temperature": 0.9, "top_p": 0.9, "top_k": 50, "min_p": 0.01, "repetition_penalty": 1.1, "seed": 5, "n": 3}'
[ "$(ask "$warm" | plain)" = "$(ask "$warm" | plain)" ] || fail "the same seed gives another text"
[ "$(ask "$warm" | grep -o '"index":' | wc -l)" = 3 ] || fail "n = 3"
ask '{"prompt": "", "max_tokens": 5}' | grep -q '"completion_tokens":5' || fail "an empty prompt"

# 64 clients at once get what each would get alone.
mkdir "$work/alone" "$work/together"
body() { echo "{\"prompt\": \"Line $1\", \"max_tokens\": $((8 + $1 % 13 * 4)), \"temperature\": $(($1 % 3 / 2)), \"seed\": $1, \"logprobs\": 0}"; }
for i in $(seq 64); do ask "$(body "$i")" | plain | sed 's/"token_logprobs":[^]]*]//' > "$work/alone/$i"; done
clients=()
for i in $(seq 64); do
  { ask "$(body "$i")" | plain | sed 's/"token_logprobs":[^]]*]//' > "$work/together/$i"; } 2>> "$work/curl.log" &
  clients+=($!)
done
wait "${clients[@]}"
diff -r "$work/alone" "$work/together" > "$work/diff" || { head -c 2000 "$work/diff"; fail "64 clients at once: other answers"; }
grep -L '"text":' "$work"/together/* | grep . && fail "clients without an answer"
idle

# Clients that go away, while waiting and in the middle of a stream.
endless='{"prompt": "Line 7", "max_tokens": 16000, "ignore_eos": true'
clients=()
for i in $(seq 20); do
  curl -s --max-time 0.5 "$url/v1/completions" -d "$endless}" > /dev/null &
  clients+=($!)
  curl -s --max-time 0.5 "$url/v1/completions" -d "$endless, \"stream\": true}" > /dev/null &
  clients+=($!)
done
wait "${clients[@]}"
idle
[ "$(ask "$long" | field text)" = "$text" ] || fail "another answer after dropped connections"

# What is no request.
expect 400 "is not JSON: line 1" "$url/v1/completions" -d '{"prompt": "a",'
expect 400 "is not JSON" "$url/v1/completions" -d ''
expect 400 "must be a JSON object" "$url/v1/completions" -d '[1]'
expect 400 "prompt is required" "$url/v1/completions" -d '{}'
expect 400 "did you mean 'max_tokens'" "$url/v1/completions" -d '{"prompt": "a", "max_token": 3}'
expect 400 "temperature: expected a number from 0" "$url/v1/completions" -d '{"prompt": "a", "temperature": "hot"}'
expect 400 "max_tokens is 99999999; this server draws at most 16384" "$url/v1/completions" -d '{"prompt": "a", "max_tokens": 99999999}'
expect 400 "token 256 is not below the vocabulary of 256" "$url/v1/completions" -d '{"prompt": [256]}'
expect 400 "element 1 is no token" "$url/v1/completions" -d '{"prompt": [1, "a"]}'
expect 400 "logit_bias is not supported" "$url/v1/completions" -d '{"prompt": "a", "logit_bias": {"5": 1}}'
expect 404 "this server has 'rdn'" "$url/v1/completions" -d '{"prompt": "a", "model": "gpt"}'
expect 404 "there is no /v2" "$url/v2"
expect 405 "takes POST" "$url/v1/completions"
head -c 5000000 /dev/zero | tr '\0' ' ' > "$work/large"
expect 413 "more than the 4000000 bytes" "$url/v1/completions" --data-binary "@$work/large" -H 'Expect:'
expect 413 "more than the 4000000 bytes" "$url/v1/completions" --data-binary "@$work/large" -H 'Transfer-Encoding: chunked'
{ printf '{"prompt": "'; head -c 1500000 "$work/large"; printf '"}'; } > "$work/prompt"
expect 413 "this server takes at most 1000000" "$url/v1/completions" --data-binary "@$work/prompt"
{ head -c 100000 /dev/zero | tr '\0' '['; } > "$work/deep"
expect 400 "is not JSON" "$url/v1/completions" --data-binary "@$work/deep"
head -c 3000 /dev/urandom > "$work/noise"
expect 400 "is not JSON" "$url/v1/completions" --data-binary "@$work/noise"
host=${url#http://} port=${url##*:}
host=${host%:*}
for bytes in 'nonsense\r\n\r\n' 'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"pro' 'GET' ''; do
  { exec 3<> "/dev/tcp/$host/$port" && printf "$bytes" >&3; exec 3>&-; } 2> /dev/null
done
[ "$(ask "$long" | field text)" = "$text" ] || fail "another answer after broken requests"
examples/serve --model "$work/run" --port "$port" > "$work/log" 2>&1 && fail "two servers on one port"
grep -q "cannot listen on 127.0.0.1 port $port: Address already in use" "$work/log" || fail "the port is taken: $(cat "$work/log")"
examples/serve --model "$work/run" --host localhost > "$work/log" 2>&1 && fail "a host name"
grep -q "is not an address" "$work/log" || fail "a host name: $(cat "$work/log")"

# The end: who is there may finish, new ones are turned away, and the program ends with status 0.
ask '{"prompt": "Line 7", "max_tokens": 200, "temperature": 0}' > "$work/answer" &
client=$!
sleep 0.1
kill -TERM "$pid"
wait $client
grep -q '"completion_tokens":200' "$work/answer" || fail "a request at the end: $(cat "$work/answer")"
ends "$pid"
grep -qx stopped "$work/main.log" || fail "the end: $(cat "$work/main.log")"

# Limits of time and of requests that wait, and an end that does not wait.
start small --slots 1 --waiting 1 --timeout 3 --grace 0.2 --max-tokens 1e9
endless='{"prompt": "Line 7", "max_tokens": 1000000000, "ignore_eos": true'
ask "$endless}" > "$work/first" & first=$!
ask "$endless, \"stream\": true}" > "$work/second" & second=$!
sleep 1
expect 429 "try again later" "$url/v1/completions" -d '{"prompt": "a"}'
expect 200 '"waiting":1' "$url/health"
wait $first $second
grep -q 'longer than the 3 s allowed.*"code":"timeout"' "$work/first" || fail "no timeout: $(head -c 300 "$work/first")"
tail -n 2 "$work/second" | grep -q '^data: {"error":{"message":"the request took longer' || fail "no timeout in a stream: $(tail -n 3 "$work/second")"
expect 400 "n is 2; this server takes at most 1" "$url/v1/completions" -d '{"prompt": "a", "n": 2}'
ask "$endless}" > "$work/first" & first=$!
sleep 0.5
kill -INT "$pid"
wait $first
grep -q 'the server is shutting down' "$work/first" || fail "a request that is cut off: $(head -c 300 "$work/first")"
ends "$pid"
exit $failed
