/* Samples that whole families of ops share. */
#include "ops/samples.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const rill_shape SHAPES[] = {
    {0, {0}},
    {1, {0}},
    {1, {1}},
    {1, {2}},
    {1, {7}},
    {1, {13}},
    {1, {15}},
    {1, {16}},
    {1, {17}},
    {1, {31}},
    {1, {33}},
    {1, {64}},
    {1, {257}},
    {1, {1023}},
    {2, {2, 0}},
    {2, {1, 7}},
    {2, {7, 1}},
    {2, {3, 5}},
    {2, {65, 3}},
    {3, {0, 2, 3}},
    {3, {1, 1, 1}},
    {3, {2, 3, 5}},
    {4, {2, 1, 4, 3}},
    {5, {1, 3, 1, 2, 2}},
    {8, {2, 1, 2, 1, 3, 1, 2, 1}},
    {2, {1031, 1019}},
};

typedef struct {
  rill_shape a, b;
} pair;

static const pair PAIRS[] = {
    {{0, {0}}, {0, {0}}},
    {{0, {0}}, {1, {5}}},
    {{1, {5}}, {0, {0}}},
    {{1, {1}}, {1, {1}}},
    {{1, {7}}, {1, {7}}},
    {{1, {0}}, {1, {1}}},
    {{1, {0}}, {1, {0}}},
    {{1, {1}}, {1, {13}}},
    {{2, {3, 4}}, {1, {4}}},
    {{1, {4}}, {2, {3, 4}}},
    {{2, {3, 4}}, {2, {3, 1}}},
    {{2, {3, 1}}, {2, {1, 4}}},
    {{2, {1, 4}}, {2, {3, 4}}},
    {{2, {2, 0}}, {2, {1, 1}}},
    {{2, {2, 1}}, {1, {0}}},
    {{2, {17, 31}}, {2, {17, 31}}},
    {{2, {5, 63}}, {1, {63}}},
    {{2, {5, 65}}, {2, {5, 1}}},
    {{3, {2, 3, 4}}, {2, {3, 4}}},
    {{3, {2, 3, 4}}, {3, {2, 1, 4}}},
    {{3, {2, 1, 4}}, {3, {1, 3, 1}}},
    {{3, {1, 1, 1}}, {3, {2, 3, 5}}},
    {{4, {2, 1, 3, 1}}, {4, {1, 2, 1, 5}}},
    {{4, {2, 3, 1, 4}}, {3, {1, 2, 4}}},
    {{8, {1, 2, 1, 2, 1, 2, 1, 2}}, {8, {2, 1, 2, 1, 2, 1, 2, 1}}},
    {{1, {1025}}, {1, {1025}}},
    {{2, {1031, 1019}}, {1, {1019}}},
};

static bool is_large(rill_shape shape) { return shape.rank == 2 && shape.size[0] > 1000; }

void rilli_sample_shapes(rill_samples *s, int inputs, const rilli_range *range, const void *attr) {
  for (size_t k = 0; k < COUNT(SHAPES); k++) {
    rill_sample sample = {.name = "shape", .attr = attr, .no_gradient = is_large(SHAPES[k])};
    for (int i = 0; i < inputs; i++)
      sample.in[i] =
          (rill_sample_input){.shape = SHAPES[k], .low = range[i].low, .high = range[i].high};
    rill_sample_add(s, sample);
  }
}

void rilli_sample_refused_dtype(rill_samples *s, int inputs, rill_dtype dtype, const void *attr,
                                const char *refused) {
  rill_sample sample = {.name = "dtype", .attr = attr, .refused = refused};
  for (int i = 0; i < inputs; i++)
    sample.in[i] = (rill_sample_input){.shape = RILL_SHAPE(3), .dtype = dtype, .below = 2};
  rill_sample_add(s, sample);
}

void rilli_sample_unary(rill_samples *s, double low, double high, const void *attr) {
  rilli_range range = {low, high};
  rilli_sample_shapes(s, 1, &range, attr);
  rilli_sample_refused_dtype(s, 1, RILL_I64, attr, "x must be f64, f32 or bf16, not i64");
  rilli_sample_refused_dtype(s, 1, RILL_BOOL, attr, "x must be f64, f32 or bf16, not bool");
}

void rilli_sample_alike(rill_samples *s, int inputs, const rilli_range *range, const void *attr) {
  rilli_sample_shapes(s, inputs, range, attr);
  rilli_sample_refused_dtype(s, inputs, RILL_I64, attr, "must be f64, f32 or bf16, not i64");
  rill_sample sample = {.name = "shapes", .attr = attr, .refused = "must have shape [3], not [4]"};
  for (int i = 0; i < inputs; i++) sample.in[i].shape = RILL_SHAPE(i == 0 ? 3 : 4);
  rill_sample_add(s, sample);
}

void rilli_sample_binary(rill_samples *s, const rilli_range *range) {
  for (size_t k = 0; k < COUNT(PAIRS); k++)
    rill_sample_add(
        s, (rill_sample){.name = "broadcast",
                         .in = {{.shape = PAIRS[k].a, .low = range[0].low, .high = range[0].high},
                                {.shape = PAIRS[k].b, .low = range[1].low, .high = range[1].high}},
                         .no_gradient = is_large(PAIRS[k].a)});
  rill_sample_add(s, (rill_sample){.name = "shapes",
                                   .in = {{.shape = RILL_SHAPE(2, 3)}, {.shape = RILL_SHAPE(4)}},
                                   .refused = "shapes [2, 3] and [4] do not broadcast"});
  rill_sample_add(s,
                  (rill_sample){.name = "dtypes",
                                .in = {{.shape = RILL_SHAPE(2), .fixed = true, .dtype = RILL_F32},
                                       {.shape = RILL_SHAPE(2), .fixed = true, .dtype = RILL_F64}},
                                .refused = "is f32 and b is f64; rill_cast converts"});
}

void rilli_sample_binary_integers(rill_samples *s) {
  static const rill_dtype dtype[] = {RILL_I64, RILL_I32, RILL_U8};
  for (size_t d = 0; d < COUNT(dtype); d++)
    for (size_t k = 4; k < 16; k += 4)
      rill_sample_add(s,
                      (rill_sample){.name = "integers",
                                    .in = {{.shape = PAIRS[k].a, .below = 100, .dtype = dtype[d]},
                                           {.shape = PAIRS[k].b, .below = 100, .dtype = dtype[d]}},
                                    .no_gradient = true});
}
