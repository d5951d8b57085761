#!/bin/bash
# Trains a residual linear attention language model on English text, from nothing to a report.
#
#   examples/pretrain.sh                     an RDN of a few million parameters, some minutes on 2 cores
#   examples/pretrain.sh --model gdn --steps 200
#   examples/pretrain.sh --help              every option
#   examples/pretrain.sh --data my.txt       text of your own
#
# It installs what it needs, builds the program, takes the text of a dictionary that Debian packages
# (GCIDE: Webster's of 1913 with quotations, 40 MB), and passes its arguments on. Text and build are
# kept in ~/.cache/rill; the model goes to the folder that --out names.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/rill

own_text=
for argument; do
  case $argument in --data | --data=* | --help | -h) own_text=yes ;; esac
done

if [ -n "$own_text" ]; then third_party/install.sh; else third_party/install.sh text; fi

echo "Building the program (the first time takes a minute or two, some more where CUDA is found)" >&2
build=(--noshow_progress --show_result=0 --ui_event_filters=-info)
third_party/bazel.sh build "${build[@]}" //examples:pretrain >&2 || {
  echo "Building failed; the messages above say where." >&2
  exit 1
}
bin=$(third_party/bazel.sh info "${build[@]}" bazel-bin 2> /dev/null)

data=()
if [ -z "$own_text" ]; then
  text=$cache/text/gcide.txt
  if [ ! -s "$text" ]; then
    mkdir -p "${text%/*}"
    zcat /usr/share/dictd/gcide.dict.dz > "$text.$$"
    mv "$text.$$" "$text"
    echo "Text: $(stat -c %s "$text") bytes of GCIDE in $text" >&2
  fi
  data=(--data "$text")
fi
# A thread that waits soon gives its core away: on a busy machine spinning costs more than it saves.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
# The caller's own folder: paths among the arguments are relative to it.
cd "$here"
exec "$bin/examples/pretrain" ${data[@]+"${data[@]}"} "$@"
