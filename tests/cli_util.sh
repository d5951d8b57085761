# What the tests of programs share: a folder of their own, and failures that are counted, not fatal.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }
expect() {  # expect MESSAGE COMMAND...: the command must fail and say so
  local message=$1
  shift
  "$@" > "$work/log" 2>&1 && fail "succeeded: $*"
  grep -qF -- "$message" "$work/log" || fail "$*: said $(cat "$work/log"), not: $message"
}
