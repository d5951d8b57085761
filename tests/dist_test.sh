#!/bin/bash
# The installed library serves someone who does not use Bazel: every header compiles by itself as C11
# and C++20, and every tutorial compiles with plain cc and runs, against librill.so and librill.a.
set -eu
tarball=${TEST_SRCDIR:?}/${TEST_WORKSPACE:?}/rill.tar.gz
cd "${TEST_TMPDIR:?}"
tar xzf "$tarball"
cd rill
prefix=$PWD
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PATH=$PATH:/usr/local/bin:/usr/bin:/bin

for file in LICENSE include/rill/rill.h include/rill/nn/nn.h lib/librill.a lib/librill.so; do
  [ -s "$file" ] || { echo "$file is missing from the tarball"; exit 1; }
done

warnings='-Wall -Wextra -Wpedantic -Werror'
cflags=$(pkg-config --cflags rill)
while read -r header; do
  cc -std=c11 $warnings $cflags -fsyntax-only -x c - <<< "#include \"$header\""
  c++ -std=c++20 $warnings $cflags -fsyntax-only -x c++ - <<< "#include \"$header\""
done < <(cd include/rill && find . -name '*.h' | sed 's,^\./,,')

# One archive, and nothing but rill_ leaves the shared library.
strangers=$(nm -D --defined-only lib/librill.so | awk '$2 != "A" && $3 !~ /^rill_/')
[ -z "$strangers" ] || { echo "librill.so exports:"; echo "$strangers"; exit 1; }

for source in share/rill/examples/*.c; do
  name=$(basename "$source" .c)
  cc -std=c11 -D_POSIX_C_SOURCE=200809L "$source" $cflags $(pkg-config --libs rill) -lm -o "$name.so-built"
  cc -std=c11 -D_POSIX_C_SOURCE=200809L "$source" $cflags $(pkg-config --libs rill-static) -o "$name.a-built"
  LD_LIBRARY_PATH=$prefix/lib "./$name.so-built" > "$name.so.txt"
  "./$name.a-built" > "$name.a.txt"
  cmp "$name.so.txt" "$name.a.txt"
  [ -s "$name.a.txt" ]
done
echo "compiled against rill $(pkg-config --modversion rill)"
