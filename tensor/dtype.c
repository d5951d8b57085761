/* The table of element types. */
#include "tensor/dtype.h"

static const struct {
  const char *name;
  size_t size;
  bool is_float;
} dtypes[RILL_DTYPE_COUNT] = {
    [RILL_F32] = {"f32", 4, true},    [RILL_F64] = {"f64", 8, true},
    [RILL_BF16] = {"bf16", 2, true},  [RILL_I32] = {"i32", 4, false},
    [RILL_I64] = {"i64", 8, false},   [RILL_U8] = {"u8", 1, false},
    [RILL_BOOL] = {"bool", 1, false},
};

static bool known(rill_dtype dtype) { return (unsigned)dtype < RILL_DTYPE_COUNT; }

size_t rill_dtype_size(rill_dtype dtype) { return known(dtype) ? dtypes[dtype].size : 0; }
const char *rill_dtype_name(rill_dtype dtype) { return known(dtype) ? dtypes[dtype].name : "?"; }
bool rill_dtype_is_float(rill_dtype dtype) { return known(dtype) && dtypes[dtype].is_float; }

bool rill_dtype_find(const char *name, rill_dtype *dtype) {
  for (int i = 0; name && i < RILL_DTYPE_COUNT; i++) {
    if (strcmp(name, dtypes[i].name) == 0) {
      *dtype = (rill_dtype)i;
      return true;
    }
  }
  return false;
}
