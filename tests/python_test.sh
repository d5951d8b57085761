#!/bin/bash
# The Python module over librill.so, with NumPy. As it is installed, so this test is run without RILL_DEBUG.
set -eu
root=${TEST_SRCDIR:?}/${TEST_WORKSPACE:?}
for python in /usr/bin/python3 python3; do
  "$python" -c 'import numpy' 2> /dev/null && break
done
RILL_LIBRARY=$root/librill.so OMP_WAIT_POLICY=passive \
  "$python" -B "$root/tests/python_test.py" "$root/examples/python" "$root/tests/data/hf"
