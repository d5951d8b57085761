/* Fill, copy with conversion, and accumulate on the CPU.
 *
 * Elements of one size move as they are; f32 and bf16 convert directly; every other pair passes
 * through a small buffer of double or int64, whichever holds both exactly. */
#include <math.h>
#include <string.h>

#include "tensor/cpu_impl.h"
#include "tensor/iterate.h"

typedef struct {
  rill_dtype to, from;
} pair;

enum { BLOCK = 256 };

/* ---- element access ---- */

static void load_f64(rill_dtype dtype, const char *p, int64_t step, int64_t n, double *x) {
  for (int64_t i = 0; i < n; i++, p += step) {
    switch (dtype) {
      case RILL_F32:
        x[i] = (double)*(const float *)(const void *)p;
        break;
      case RILL_F64:
        x[i] = *(const double *)(const void *)p;
        break;
      case RILL_BF16:
        x[i] = (double)rill_bf16_to_f32(*(const rill_bf16 *)(const void *)p);
        break;
      case RILL_I32:
        x[i] = (double)*(const int32_t *)(const void *)p;
        break;
      case RILL_I64:
        x[i] = (double)*(const int64_t *)(const void *)p;
        break;
      default:
        x[i] = (double)*(const uint8_t *)(const void *)p;
        break;
    }
  }
}

static void load_i64(rill_dtype dtype, const char *p, int64_t step, int64_t n, int64_t *x) {
  for (int64_t i = 0; i < n; i++, p += step) {
    switch (dtype) {
      case RILL_I32:
        x[i] = *(const int32_t *)(const void *)p;
        break;
      case RILL_I64:
        x[i] = *(const int64_t *)(const void *)p;
        break;
      default:
        x[i] = *(const uint8_t *)(const void *)p;
        break;
    }
  }
}

/* Truncates toward zero and saturates; NaN becomes 0. */
static int64_t to_integer(double x, double low, double high) {
  if (isnan(x)) return 0;
  if (x <= low) return (int64_t)low;
  if (x >= high) return high >= 9.2e18 ? INT64_MAX : (int64_t)high;
  return (int64_t)x;
}

static void store_f64(rill_dtype dtype, char *p, int64_t step, int64_t n, const double *x) {
  for (int64_t i = 0; i < n; i++, p += step) {
    switch (dtype) {
      case RILL_F32:
        *(float *)(void *)p = (float)x[i];
        break;
      case RILL_F64:
        *(double *)(void *)p = x[i];
        break;
      case RILL_BF16:
        *(rill_bf16 *)(void *)p = rill_bf16_from_f32((float)x[i]);
        break;
      case RILL_I32:
        *(int32_t *)(void *)p = (int32_t)to_integer(x[i], INT32_MIN, INT32_MAX);
        break;
      case RILL_I64:
        *(int64_t *)(void *)p = to_integer(x[i], -9223372036854775808.0, 9223372036854775808.0);
        break;
      case RILL_U8:
        *(uint8_t *)(void *)p = (uint8_t)to_integer(x[i], 0, UINT8_MAX);
        break;
      default:
        *(uint8_t *)(void *)p = x[i] != 0;
        break;
    }
  }
}

static void store_i64(rill_dtype dtype, char *p, int64_t step, int64_t n, const int64_t *x) {
  for (int64_t i = 0; i < n; i++, p += step) {
    switch (dtype) {
      case RILL_I32:
        *(int32_t *)(void *)p = (int32_t)x[i];
        break;
      case RILL_I64:
        *(int64_t *)(void *)p = x[i];
        break;
      case RILL_U8:
        *(uint8_t *)(void *)p = (uint8_t)x[i];
        break;
      default:
        *(uint8_t *)(void *)p = x[i] != 0;
        break;
    }
  }
}

/* ---- copy ---- */

static void move_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  size_t size = *(const size_t *)user;
  char *to = ptr[0];
  const char *from = ptr[1];
  if (step[0] == (int64_t)size && step[1] == (int64_t)size) {
    memcpy(to, from, (size_t)n * size);
    return;
  }
  for (int64_t i = 0; i < n; i++, to += step[0], from += step[1]) {
    switch (size) {
      case 4:
        memcpy(to, from, 4);
        break;
      case 8:
        memcpy(to, from, 8);
        break;
      case 2:
        memcpy(to, from, 2);
        break;
      default:
        *to = *from;
        break;
    }
  }
}

static void widen_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  (void)user;
  for (int64_t i = 0; i < n; i++)
    *(float *)(void *)(ptr[0] + i * step[0]) =
        rill_bf16_to_f32(*(const rill_bf16 *)(const void *)(ptr[1] + i * step[1]));
}

static void narrow_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  (void)user;
  for (int64_t i = 0; i < n; i++)
    *(rill_bf16 *)(void *)(ptr[0] + i * step[0]) =
        rill_bf16_from_f32(*(const float *)(const void *)(ptr[1] + i * step[1]));
}

static void convert_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  const pair *p = user;
  bool integers = !rill_dtype_is_float(p->from) && !rill_dtype_is_float(p->to);
  union {
    double f[BLOCK];
    int64_t i[BLOCK];
  } x;
  for (int64_t done = 0; done < n; done += BLOCK) {
    int64_t m = n - done < BLOCK ? n - done : BLOCK;
    char *to = ptr[0] + done * step[0];
    const char *from = ptr[1] + done * step[1];
    if (integers) {
      load_i64(p->from, from, step[1], m, x.i);
      store_i64(p->to, to, step[0], m, x.i);
    } else {
      load_f64(p->from, from, step[1], m, x.f);
      store_f64(p->to, to, step[0], m, x.f);
    }
  }
}

void rill_array_copy(const rill_env *env, const rill_array *to, const rill_array *from) {
  rill_array both[2] = {*to, *from};
  size_t size = rill_dtype_size(to->dtype);
  pair p = {to->dtype, from->dtype};
  if (to->dtype == from->dtype) {
    rill_iterate(env, 2, both, move_row, &size);
  } else if (to->dtype == RILL_F32 && from->dtype == RILL_BF16) {
    rill_iterate(env, 2, both, widen_row, NULL);
  } else if (to->dtype == RILL_BF16 && from->dtype == RILL_F32) {
    rill_iterate(env, 2, both, narrow_row, NULL);
  } else {
    rill_iterate(env, 2, both, convert_row, &p);
  }
}

bool rilli_cpu_copy(rilli_device *dev, const rill_array *to, const rill_array *from) {
  rill_array_copy(&dev->env, to, from);
  return true;
}

/* ---- fill ---- */

bool rilli_cpu_fill(rilli_device *dev, const rill_array *to, double value) {
  char element[8] = {0};
  rill_array both[2] = {*to, *to};
  size_t size = rill_dtype_size(to->dtype);
  store_f64(to->dtype, element, 0, 1, &value);
  both[1].data = element;
  for (int d = 0; d < to->rank; d++) both[1].stride[d] = 0;
  rill_iterate(&dev->env, 2, both, move_row, &size);
  return true;
}

/* ---- accumulate ---- */

static void add_f32_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  (void)user;
  if (step[0] == sizeof(float) && step[1] == sizeof(float)) {
    float *restrict to = (float *)(void *)ptr[0];
    const float *restrict from = (const float *)(const void *)ptr[1];
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
    return;
  }
  for (int64_t i = 0; i < n; i++)
    *(float *)(void *)(ptr[0] + i * step[0]) +=
        *(const float *)(const void *)(ptr[1] + i * step[1]);
}

static void add_row(void *user, int64_t n, char *const *ptr, const int64_t *step) {
  const pair *p = user;
  double x[BLOCK], y[BLOCK];
  for (int64_t done = 0; done < n; done += BLOCK) {
    int64_t m = n - done < BLOCK ? n - done : BLOCK;
    load_f64(p->to, ptr[0] + done * step[0], step[0], m, x);
    load_f64(p->from, ptr[1] + done * step[1], step[1], m, y);
    for (int64_t i = 0; i < m; i++) x[i] += y[i];
    store_f64(p->to, ptr[0] + done * step[0], step[0], m, x);
  }
}

bool rilli_cpu_accumulate(rilli_device *dev, const rill_array *to, const rill_array *from) {
  rill_array both[2] = {*to, *from};
  pair p = {to->dtype, from->dtype};
  bool plain = to->dtype == RILL_F32 && from->dtype == RILL_F32;
  rill_iterate(&dev->env, 2, both, plain ? add_f32_row : add_row, &p);
  return true;
}
