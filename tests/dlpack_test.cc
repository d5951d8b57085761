// DLPack: sharing memory both ways, lifetimes, refusals.
#include "tensor/dlpack.h"

#include "tests/tensor_util.h"

namespace {

class DLPack : public rill_test::WithContext {
 protected:
  // A foreign 2 x 3 matrix of f32; deletions are counted.
  struct Foreign {
    float data[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    int64_t size[2] = {2, 3}, stride[2] = {3, 1};
    int deleted = 0;
    rill_dl_managed managed;
    Foreign() {
      managed = {};
      managed.tensor.data = data;
      managed.tensor.device = {RILL_DL_CPU, 0};
      managed.tensor.ndim = 2;
      managed.tensor.dtype = {RILL_DL_FLOAT, 32, 1};
      managed.tensor.shape = size;
      managed.tensor.strides = stride;
      managed.manager = this;
      managed.deleter = [](rill_dl_managed *self) {
        static_cast<Foreign *>(self->manager)->deleted++;
      };
    }
  };
  void refused(Foreign &f, const std::string &text) {
    EXPECT_TRUE(rill_is_void(rill_from_dlpack(ctx, &f.managed)));
    expect_error(RILL_ERROR_ARGUMENT, text);
    EXPECT_EQ(f.deleted, 0) << "what is refused stays the caller's";
  }
};

using Values = std::vector<double>;

TEST_F(DLPack, Import) {
  Foreign f;
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *x = rill_from_dlpack(ctx, &f.managed);
  EXPECT_EQ(read(x), (Values{0, 1, 2, 3, 4, 5}));
  f.data[0] = 9;
  EXPECT_EQ(read(x)[0], 9) << "memory is shared";
  rill_tensor *row = rill_hoist(rill_slice(x, 0, 1, 2, 1));
  rill_scope_close(scope);
  EXPECT_EQ(f.deleted, 0) << "a view still needs the memory";
  EXPECT_EQ(read(row), (Values{3, 4, 5}));
  rill_context_free(ctx);
  EXPECT_EQ(f.deleted, 1);
  ctx = nullptr;
}

TEST_F(DLPack, ImportStrides) {
  Foreign f;
  f.stride[0] = 1;
  f.stride[1] = 2;
  f.managed.tensor.byte_offset = 4;
  EXPECT_EQ(read(rill_from_dlpack(ctx, &f.managed)), (Values{1, 3, 5, 2, 4, 6}));
  Foreign flat;
  flat.managed.tensor.strides = nullptr;
  EXPECT_EQ(read(rill_from_dlpack(ctx, &flat.managed)), (Values{0, 1, 2, 3, 4, 5}));
  Foreign empty;
  empty.size[0] = 0;
  empty.managed.tensor.data = nullptr;
  rill_tensor *x = rill_from_dlpack(ctx, &empty.managed);
  EXPECT_EQ(read(rill_sum(x, 0, false)), (Values{0, 0, 0}));
  Foreign scalar;
  scalar.managed.tensor.ndim = 0;
  scalar.managed.deleter = nullptr;
  EXPECT_EQ(rill_item(rill_from_dlpack(ctx, &scalar.managed)), 0);
  rill_context_free(ctx);
  ctx = nullptr;
  EXPECT_EQ(f.deleted + flat.deleted + empty.deleted, 3);
}

TEST_F(DLPack, Refusals) {
  Foreign f;
  f.managed.tensor.device.device_type = RILL_DL_CUDA;
  refused(f, "memory is not on the CPU; its device type is (2)");
  f = Foreign();
  f.managed.tensor.dtype.lanes = 4;
  refused(f, "type code 2 with 32 bits and 4 lanes");
  f = Foreign();
  f.managed.tensor.dtype = {5, 64, 1};
  refused(f, "have no dtype here");
  f = Foreign();
  f.managed.tensor.ndim = 9;
  refused(f, "number of axes is out of range (9)");
  f.managed.tensor.ndim = -1;
  refused(f, "number of axes is out of range (-1)");
  Foreign negative;
  negative.stride[1] = -1;
  refused(negative, "a stride is negative (-1)");
  Foreign shrunk;
  shrunk.size[0] = -2;
  refused(shrunk, "a size is negative (-2)");
  Foreign far;
  far.stride[0] = INT64_MAX / 2;
  refused(far, "strides reach too far");
  Foreign odd;
  odd.managed.tensor.byte_offset = 2;
  refused(odd, "data is not aligned to its elements, by (2)");
  Foreign none;
  none.managed.tensor.data = nullptr;
  refused(none, "data is NULL");
  Foreign shapeless;
  shapeless.managed.tensor.shape = nullptr;
  refused(shapeless, "shape is NULL");
}

TEST_F(DLPack, Export) {
  rill_scope *scope = rill_scope_open(ctx);
  rill_tensor *x =
      rill_transpose(rill_reshape(rill_arange(ctx, RILL_I64, 6), RILL_SHAPE(2, 3)), 0, 1);
  rill_dl_managed *out = rill_to_dlpack(x);
  rill_scope_close(scope);
  ASSERT_NE(out, nullptr);
  EXPECT_EQ(out->tensor.ndim, 2);
  EXPECT_EQ(out->tensor.dtype.code, RILL_DL_INT);
  EXPECT_EQ(out->tensor.dtype.bits, 64);
  EXPECT_EQ(out->tensor.shape[0], 3);
  EXPECT_EQ(out->tensor.strides[0], 1);
  EXPECT_EQ(out->tensor.strides[1], 3);
  EXPECT_EQ(static_cast<int64_t *>(out->tensor.data)[5], 5) << "alive after its scope";
  out->deleter(out);
  EXPECT_EQ(live(), 0);
  expect_no_error();
}

// Out and in again: the same memory; every dtype finds its way.
TEST_F(DLPack, RoundTrip) {
  for (int d = 0; d < RILL_DTYPE_COUNT; d++) {
    rill_tensor *x = rill_full(ctx, static_cast<rill_dtype>(d), RILL_SHAPE(2, 2), 1);
    rill_tensor *y = rill_from_dlpack(ctx, rill_to_dlpack(x));
    EXPECT_EQ(rill_dtype_of(y), d);
    EXPECT_EQ(rill_array_of(y).data, rill_array_of(x).data);
    EXPECT_EQ(rill_hash(y), rill_hash(x));
  }
  expect_no_error();
}

}  // namespace
