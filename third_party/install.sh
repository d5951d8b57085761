#!/bin/bash
# Installs what Rill is built with, from Debian's or Ubuntu's own packages; silent when all is there.
#
#   third_party/install.sh              to build and test
#   third_party/install.sh sanitizers   also clang and its OpenMP runtime (--config=asan, ubsan, tsan)
#   third_party/install.sh text         also the text that examples/pretrain.sh learns from
set -euo pipefail

# Package, what shows that it is there (a command, a file; * is any text), and what it is for.
list() {
  cat <<'EOF'
bazel-bootstrap         PATH:bazel|PATH:bazelisk                   the build system, Bazel
gcc                     PATH:gcc                                   the C compiler
g++                     PATH:g++                                   the compiler of the tests
libc6-dev               /usr/include/stdlib.h                      the C library's headers
libopenblas-openmp-dev  /usr/lib/*/openblas-openmp/libopenblas.so  matrix products
libjansson-dev          /usr/include/jansson.h                     JSON
libmd-dev               /usr/include/sha2.h                        SHA-256
libmicrohttpd-dev       /usr/include/microhttpd.h                  HTTP, for the program that serves a model
libsentencepiece-dev    /usr/include/sentencepiece_processor.h     tokenizers
googletest              /usr/src/googletest/googletest/src         the test framework
python3-numpy           /usr/lib/python3/dist-packages/numpy       the test of the Python module
pkg-config              PATH:pkg-config                            finds the installed library in a test
curl                    PATH:curl                                  talks to the server in a test
EOF
  case " $* " in *" sanitizers "*) cat <<'EOF'
clang                   PATH:clang                                 sanitizers
libomp-dev              /usr/lib/llvm-*/lib/libomp.so              OpenMP of clang
EOF
  esac
  case " $* " in *" text "*) cat <<'EOF'
dict-gcide              /usr/share/dictd/gcide.dict.dz             the text to learn from (a dictionary)
EOF
  esac
}

present() {  # present A|B: is one of the files there?
  local sign
  for sign in ${1//|/ }; do
    case $sign in
      PATH:*) command -v "${sign#PATH:}" > /dev/null && return 0 ;;
      *) compgen -G "$sign" > /dev/null && return 0 ;;
    esac
  done
  return 1
}

missing=()
while read -r package sign purpose; do
  present "$sign" || {
    [ ${#missing[@]} -gt 0 ] || echo "Rill needs packages that are not installed:"
    missing+=("$package")
    printf '  %-24s %s\n' "$package" "$purpose"
  }
done < <(list "$@")
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get > /dev/null; then
  echo "This is not Debian or Ubuntu: please install the equivalents yourself, then run this again." >&2
  exit 1
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || {
    echo "Please run as root:  apt-get install ${missing[*]}" >&2
    exit 1
  }
  root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  echo "\$ ${root[*]:+sudo }apt-get $*"
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" > "$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
}
apt update || echo "The package lists could not be refreshed; trying with the old ones." >&2
apt install --no-install-recommends "${missing[@]}" || {
  echo "Installing failed. Where there is no package bazel-bootstrap, install Bazelisk as \`bazel\`:" >&2
  echo "  https://github.com/bazelbuild/bazelisk" >&2
  exit 1
}
