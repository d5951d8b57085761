#!/bin/bash
# Runs Bazel for the scripts of this repository: bazel.sh COMMAND ARGUMENT...
#
# Whatever Bazel is installed is used: Debian's 4.2.3, or Bazelisk's 5, 6, 7. Its output goes to
# $XDG_CACHE_HOME/rill (~/.cache/rill), so that the clone stays as it was cloned.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/rill
mkdir -p "$cache"

bazel=$(command -v bazel || command -v bazelisk) || {
  echo "There is no bazel: run third_party/install.sh" >&2
  exit 1
}

# Debian's calls its version "no_version"; 7 and later must be told that there is a WORKSPACE.
major=$("$bazel" --version 2> /dev/null | sed -n 's/^bazel \([0-9]*\)\..*/\1/p')
flags=()
if [ "${major:-4}" -ge 7 ]; then flags=(--noenable_bzlmod --enable_workspace); fi

command=$1
shift
case $command in
  build | test | run) flags+=(--symlink_prefix=/ "--disk_cache=$cache/disk") ;;
esac
exec "$bazel" "--output_user_root=$cache/bazel" "$command" ${flags[@]+"${flags[@]}"} "$@"
