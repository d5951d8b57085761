/* Sums of one stored type. The including file defines
 *
 *   NAME(x)   the name of x in this instance
 *   STORED    type in memory, LOAD(x) its value as REAL
 *   REAL      type of short sums
 *   TOTAL     type of totals (8 bytes)
 *
 * Short sums run over at most SHORT elements each; totals add them up in order, so 10^6 values of
 * f32 lose no more than a short sum does. */

enum { NAME(SHORT) = 512, NAME(LANES) = 32, NAME(CHUNK) = 64 };

/* Sum of n neighbours: 32 lanes, whatever the width of the machine's vectors. */
RILLI_CLONES static void NAME(row)(const void *x_, int64_t n, void *total_) {
  const STORED *x = x_;
  TOTAL total = 0;
  for (int64_t at = 0; at < n; at += NAME(SHORT)) {
    int64_t m = n - at < NAME(SHORT) ? n - at : NAME(SHORT), whole = m - m % NAME(LANES);
    REAL lane[NAME(LANES)] = {0};
    for (int64_t i = 0; i < whole; i += NAME(LANES))
      for (int l = 0; l < NAME(LANES); l++) lane[l] += LOAD(x[at + i + l]);
    for (int64_t i = whole; i < m; i++) lane[i - whole] += LOAD(x[at + i]);
    for (int l = 0; l < NAME(LANES); l++) total += (TOTAL)lane[l];
  }
  *(TOTAL *)total_ = total;
}

/* Sums of m <= COLUMNS neighbouring columns over n rows, `stride` apart. */
RILLI_CLONES static void NAME(columns)(const void *x_, int64_t n, int64_t stride, int64_t m,
                                       void *total_) {
  const STORED *restrict x = x_;
  TOTAL *restrict total = total_;
  for (int64_t j = 0; j < m; j++) total[j] = 0;
  for (int64_t at = 0; at < n; at += NAME(CHUNK)) {
    int64_t end = n - at < NAME(CHUNK) ? n : at + NAME(CHUNK);
    REAL part[COLUMNS] = {0};
    for (int64_t k = at; k < end; k++)
      for (int64_t j = 0; j < m; j++) part[j] += LOAD(x[k * stride + j]);
    for (int64_t j = 0; j < m; j++) total[j] += (TOTAL)part[j];
  }
}

#undef NAME
#undef STORED
#undef LOAD
#undef REAL
#undef TOTAL
