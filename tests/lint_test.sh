#!/bin/bash
# Rules about the source that a compiler does not check. A finding is printed as FILE: what is wrong.
set -u
cd "${TEST_SRCDIR:?}/${TEST_WORKSPACE:?}" || exit 1
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT

code() {  # code DIR...: C, C++ and CUDA files below DIRs
  find -L "$@" -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \)
}
text() {  # everything a person wrote
  find -L . -type f ! -name LICENSE ! -path './external/*' ! -name lint_test \
    ! -path './tests/lint_test.sh' ! -name '*.json' ! -name '*.svg' -size -400k
}
all=(tensor autograd ops nn optim examples tests)
layers=(tensor autograd ops nn optim)
found=$(code "${all[@]}" | wc -l)
[ "$found" -gt 20 ] || { echo "only $found source files are here: this test would prove nothing"; exit 1; }

# A file is short enough to be read at once.
code "${all[@]}" | xargs wc -l | awk '$2 != "total" && $1 > 600 { print $2 ": " $1 " lines, more than 600" }' >> "$findings"

# A file begins with a comment that says what it does.
code "${all[@]}" | while read -r file; do
  case $(head -c 2 "$file") in '/*' | '//') ;; *) echo "$file: does not begin with a comment" ;; esac
done >> "$findings"

# An *_impl.h header is included from its own folder only.
code "${all[@]}" | xargs grep -Hn '#include "[^"]*_impl\.h"' | awk -F: '{
  path = $3; sub(/.*#include "/, "", path); sub(/".*/, "", path)
  folder = path; if (!sub(/\/[^\/]*$/, "", folder)) folder = "."
  from = $1; sub(/\/[^\/]*$/, "", from)
  if (folder != from) print $1 ":" $2 ": " path " is private to " folder "/"
}' >> "$findings"

# A layer includes only layers below it.
may() {  # may LAYER 'regex of what it may include'
  code "$1" | xargs grep -HnE '#include "(tensor|autograd|ops|nn|optim|examples|tests)/' |
    grep -vE "#include \"($2)/" | sed "s,\$, is above $1/," >> "$findings"
}
may tensor 'tensor'
may autograd 'autograd|tensor'
may ops 'ops|autograd|tensor'
may nn 'nn|ops|autograd|tensor'
may optim 'optim|ops|autograd|tensor'
code examples | xargs grep -Hn '#include "tests/' | sed 's,$, is above examples/,' >> "$findings"

# The insides of tensors are known to tensor/ and autograd/ alone.
code ops nn optim examples | xargs grep -Hn '#include "tensor/internal\.h"' |
  sed 's,$, is for tensor/ and autograd/,' >> "$findings"

# Memory and files go through the context's tables. Beside the tables themselves nobody calls the
# system; a member (files->open) is a table's entry.
tables='^(tensor/context\.c|tensor/io\.c):'
calls='(malloc|calloc|realloc|aligned_alloc|posix_memalign|strdup|strndup|free|fopen|open|openat|creat|mmap|rename|unlink|fsync)'
# shellcheck disable=SC2046
awk -v calls="$calls" '
  FNR == 1 { comment = 0 }
  {
    line = $0
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    while (match(line, /\/\*([^*]|\*+[^*\/])*\*+\//)) line = substr(line, 1, RSTART - 1) " " substr(line, RSTART + RLENGTH)
    if (comment) { if (!sub(/^.*\*\//, "", line)) next; comment = 0 }
    if (sub(/\/\*.*/, "", line)) comment = 1
    sub(/\/\/.*/, "", line)
    if (line ~ ("(^|[^A-Za-z0-9_>.*])" calls "\\(")) print FILENAME ":" FNR ": calls the system directly: " $0
  }' $(code "${layers[@]}") | grep -vE "$tables" >> "$findings"

# Ending the program is the one place in tensor/error.c.
code "${layers[@]}" | grep -v '^tensor/error\.c$' |
  xargs grep -HnE '(^|[^A-Za-z0-9_])(abort|exit|_Exit|assert)\(' |
  sed 's,$,  <- only tensor/error.c ends the program,' >> "$findings"

# Work that is not done, and names of places that readers do not have.
text | xargs grep -HnIE '\b(FIXME|XXX|HACK)\b|\bTODO\b([^(]|$)|/work/|/root/' |
  sed 's,$,  <- unfinished or private,' >> "$findings"

if [ -s "$findings" ]; then
  LC_ALL=C sort -u "$findings"
  exit 1
fi
echo "$found source files follow the rules"
