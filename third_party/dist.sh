#!/bin/bash
# Lays out the installed library and packs it:  dist.sh OUT.tar.gz LIBS STATIC_LIBS FILE...
#
# FILEs are the archive, the shared library, headers, tutorials and texts; each goes where its name
# says. A header is public when it speaks to C++ too (extern "C") or bears its folder's name; the
# others are the library's own and stay out. The .pc files find everything relative to themselves, so
# the tree can be unpacked anywhere.
#   rill.pc         links librill.so
#   rill-static.pc  links librill.a and what it needs
set -eu
out=$1 libs=$2 static_libs=$3
shift 3

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
root=$tree/rill
mkdir -p "$root/include" "$root/lib/pkgconfig" "$root/share/rill/examples"

headers=()
for file; do
  case $file in
    *.h)
      grep -q 'extern "C"' "$file" || [ "$file" = "${file%%/*}/${file%%/*}.h" ] || continue
      headers+=("$file")
      install -D -m 644 "$file" "$root/include/rill/$file" ;;
    *.a | *.so) install -m 644 "$file" "$root/lib/${file##*/}" ;;
    examples/python/*) install -D -m 644 "$file" "$root/share/rill/python/${file##*/}" ;;
    examples/*) install -m 644 "$file" "$root/share/rill/examples/${file##*/}" ;;
    *) install -m 644 "$file" "$root/${file##*/}" ;;
  esac
done

{
  echo '/* Everything public of Rill. */'
  echo '#ifndef RILL_RILL_H_'
  echo '#define RILL_RILL_H_'
  echo
  printf '%s\n' "${headers[@]}" | LC_ALL=C sort -u | sed 's/.*/#include "&"/'
  echo
  echo '#endif /* RILL_RILL_H_ */'
} > "$root/include/rill/rill.h"

version=$(sed -n 's/^#define RILL_VERSION "\(.*\)"$/\1/p' "$root/include/rill/tensor/context.h")

pc() {  # pc NAME WHAT LINK PRIVATE
  cat > "$root/lib/pkgconfig/$1.pc" <<EOF
prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: $1
Description: tensors, gradients and residual linear attention in C ($2)
Version: $version
Cflags: -I\${includedir}/rill
Libs: $3
Libs.private: $4
EOF
}
pc rill 'shared library' "-L\${libdir} -lrill" "$libs -fopenmp -lm"
pc rill-static 'archive' "\${libdir}/librill.a $libs -fopenmp $static_libs -lm" ''

tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$tree" -cf - rill |
  gzip -9n > "$out"
