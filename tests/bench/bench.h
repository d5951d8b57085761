/* What the benchmarks share: a clock, medians, and the line that says what was measured on. */
#ifndef RILL_TESTS_BENCH_BENCH_H_
#define RILL_TESTS_BENCH_BENCH_H_

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tensor/tensor.h"

static inline double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct {
  double median, low, high; /* seconds */
  int runs;
} bench_time;

/* Calls f once to warm up, then until `seconds` have passed (at least 3, at most 200 times). */
static inline bench_time bench_run(void (*f)(void *), void *user, double seconds) {
  double time[200], start = bench_now();
  int n = 0;
  f(user);
  while (n < 3 || (n < 200 && bench_now() - start < seconds)) {
    double before = bench_now();
    f(user);
    time[n++] = bench_now() - before;
  }
  qsort(time, (size_t)n, sizeof time[0], bench_compare);
  return (bench_time){time[n / 2], time[0], time[n - 1], n};
}

static inline void bench_machine(const rill_context *ctx) {
  printf("device %s, %d threads\n", rill_context_device_name(ctx), rill_context_threads(ctx));
}

#endif /* RILL_TESTS_BENCH_BENCH_H_ */
