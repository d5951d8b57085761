#!/bin/bash
# Installs what is missing, builds everything, runs every test. The last line says how many passed.
#
#   tests/run.sh                          all of it
#   tests/run.sh --config=asan            arguments are Bazel's: another configuration,
#   tests/run.sh --test_filter='Recur*'   some tests, and so on
#
# Tests run with RILL_DEBUG (fresh memory poisoned, stale handles told), then the library as it is
# installed is built and tried. Output and caches are in ~/.cache/rill, nothing in the clone.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
case " $* " in
  *" --config=asan "* | *" --config=ubsan "* | *" --config=tsan "*) needs=sanitizers mode=() ;;
  *" --config=debug "*) needs='' mode=() ;;
  *) needs='' mode=(--config=checked) ;;
esac
third_party/install.sh $needs || exit 1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bazel=third_party/bazel.sh
status=0

labels() {  # labels QUERY
  "$bazel" query --noshow_progress --ui_event_filters=-info "$1" 2> "$work/query.txt" || {
    cat "$work/query.txt" >&2
    return 1
  }
}
labels 'tests(//...) except attr(tags, "manual", //...)' > "$work/all" || exit 1
release='//tests:\(cli_docs\|dist\|python\)_test'  # about the library as it is installed
grep -vx "$release" "$work/all" > "$work/checked"

run_tests() {  # run_tests NAME LABELS-FILE BAZEL-OPTION...
  local name=$1 file=$2 rc=0
  shift 2
  "$bazel" test --keep_going --build_event_json_file="$work/$name.json" "$@" \
    --target_pattern_file="$file" || rc=$?
  # 3: tests failed, which the count below says; everything else must be told apart from success.
  case $rc in 0 | 3) ;; *) status=$rc ;; esac
}

# What is installed is built for itself below; sanitizers do not go with a shared library.
apart=(-//:rill_dist -//:librill.so)
if [ -n "$needs" ]; then apart+=(-//tests:cli_docs_test -//tests:dist_test -//tests:python_test); fi
echo "Building everything"
"$bazel" build --keep_going ${mode[@]+"${mode[@]}"} "$@" -- //... "${apart[@]}" || status=1
echo "Running the tests"
run_tests checked "$work/checked" ${mode[@]+"${mode[@]}"} "$@"
if [ -z "$needs" ]; then
  echo "Building the library to install, and trying it"
  grep -x "$release" "$work/all" > "$work/release"
  run_tests release "$work/release" "$@"
else
  grep -vx "$release" "$work/all" > "$work/kept" && mv "$work/kept" "$work/all"
fi

# Every test that Bazel reports names the XML of this run, fresh or cached. A test without one did not
# build, or died before it could write: one failure.
cat "$work"/*.json 2> /dev/null | grep '"testResult":{' | grep '"test.xml"' > "$work/results"
sed -n 's/.*"id":{"testResult":{"label":"\([^"]*\)".*/\1/p' "$work/results" | sort -u > "$work/ran"
sort -u "$work/all" | comm -23 - "$work/ran" > "$work/lost"
sed -n 's|.*"name":"test\.xml","uri":"file://\([^"]*\)".*|\1|p' "$work/results" > "$work/xmls"

# One <testcase> element is one case; what it holds says how it ended.
count=$(while read -r xml; do cat "$xml"; echo; done < "$work/xmls" | awk '
  { text = text " " $0 }
  END {
    n = split(text, part, /<testcase /)
    for (i = 2; i <= n; i++) {
      if (part[i] ~ /<(failure|error)[ >]/) failed++
      else if (part[i] ~ /result="(skipped|suppressed)"|<skipped/ || part[i] ~ /status="notrun"/) skipped++
      else passed++
    }
    print passed + 0, failed + 0, skipped + 0
  }')
read -r passed failed skipped <<< "$count"
while read -r label; do
  echo "$label did not run"
  failed=$((failed + 1))
done < "$work/lost"
grep -h '"overallStatus":' "$work"/*.json | grep -v '"overallStatus":"PASSED"' |
  sed 's/.*"label":"\([^"]*\)".*"overallStatus":"\([A-Z_]*\)".*/\1: \2/' | sort -u

summary="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || summary+=", $skipped skipped"
[ "$failed" -eq 0 ] || status=1
if [ "$passed" -eq 0 ]; then status=1; echo "No test has passed."; fi
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then echo "The build failed (status $status)."; fi
echo "$summary"
exit "$status"
