/* Parsers of files from strangers, as functions of any bytes: what libFuzzer drives (libfuzzer.cc),
 * and what lm_fuzz_test replays the corpus through. */
#ifndef RILL_TESTS_FUZZ_TARGETS_H_
#define RILL_TESTS_FUZZ_TARGETS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rill_test {

struct FuzzTarget {
  const char *name;                                   /* and its folder below corpus/ */
  bool text;                                          /* mutations replace words and numbers, too */
  bool (*accepts)(const uint8_t *bytes, size_t size); /* reads, looks at what came, releases */
};
const std::vector<FuzzTarget> &fuzz_targets();

}  // namespace rill_test

#endif  // RILL_TESTS_FUZZ_TARGETS_H_
