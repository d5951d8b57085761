// A tensor's values, and how far two lots of them are apart. NaN is infinitely far.
#ifndef RILL_TESTS_VALUES_UTIL_H_
#define RILL_TESTS_VALUES_UTIL_H_

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tensor/tensor.h"

namespace rill_test {

inline std::vector<double> values(rill_tensor *x) {
  std::vector<double> v(static_cast<size_t>(rill_count(x)));
  EXPECT_TRUE(rill_read_f64(x, v.data(), static_cast<int64_t>(v.size())));
  return v;
}

inline double difference(const std::vector<double> &a, const std::vector<double> &b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size() && i < b.size(); i++) {
    double d = std::fabs(a[i] - b[i]);
    if (!(d <= worst)) worst = std::isnan(d) ? INFINITY : d;
  }
  return worst;
}

}  // namespace rill_test

#endif  // RILL_TESTS_VALUES_UTIL_H_
