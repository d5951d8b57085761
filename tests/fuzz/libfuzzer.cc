// libFuzzer's entry: RILL_FUZZ names the target. fuzz.sh builds and runs it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const rill_test::FuzzTarget *target = [] {
    const char *name = getenv("RILL_FUZZ");
    for (const rill_test::FuzzTarget &t : rill_test::fuzz_targets())
      if (name && strcmp(t.name, name) == 0) return &t;
    fprintf(stderr, "RILL_FUZZ must name a target\n");
    exit(2);
  }();
  target->accepts(bytes, size);
  return 0;
}
