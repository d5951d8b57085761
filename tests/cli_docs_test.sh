#!/bin/bash
# The pages of docs/ do what they say. A page runs as a user would run it, in an empty folder with the programs on PATH and the
# library unpacked: its blocks marked sh in their order as one script, after blocks with a name (c look.c) became those files.
# Blocks marked text are only read.
set -u
root=${TEST_SRCDIR:?}/${TEST_WORKSPACE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$root/examples:/usr/local/bin:/usr/bin:/bin
export GOMP_SPINCOUNT=10000
tar xzf "$root/rill.tar.gz" -C "$work"
export PKG_CONFIG_PATH=$work/rill/lib/pkgconfig PYTHONPATH=$work/rill/share/rill/python PYTHONDONTWRITEBYTECODE=1
for folder in /usr/bin /usr/local/bin; do # a python3 that has NumPy
  "$folder/python3" -c 'import numpy' 2> /dev/null && { PATH=$folder:$PATH; break; }
done

# script PAGE FOLDER: prints the page's script, with the page's line numbers; named blocks go to FOLDER.
script() {
  awk -v folder="$2" '
    NR == 1 { print "set -eEuo pipefail; trap '\''echo \"line $LINENO: exit status $?: $BASH_COMMAND\" >&2'\'' ERR"; next }
    /^```/ {
      if (open) { open = 0 } else {
        open = 1; kind = $1; name = $2
        if (kind == "```" || (kind !~ /^```(sh|text)$/ && name == "")) { print "echo line " NR ": a block of no kind >&2; false"; next }
      }
      print ""; next
    }
    open && kind == "```sh" { print; next }
    open && name != "" { print > (folder "/" name) }
    { print "" }' "$1"
}

ran=0 failed=0
for page in "$root"/docs/*.md; do
  grep -q '^```' "$page" || continue
  name=$(basename "$page" .md)
  mkdir "$work/$name"
  script "$page" "$work/$name" > "$work/$name.sh"
  start=$SECONDS
  if (cd "$work/$name" && bash "$work/$name.sh") > "$work/$name.log" 2>&1 < /dev/null; then
    echo "docs/$name.md: $((SECONDS - start)) s"
  else
    echo "FAILED: docs/$name.md"
    tail -n 40 "$work/$name.log"
    failed=1
  fi
  ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || { echo "there is no page to run"; exit 1; }
exit $failed
