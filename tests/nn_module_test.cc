// Modules: paths, lists, ownership, messages.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "nn/nn.h"
#include "ops/ops.h"
#include "optim/optim.h"
#include "tensor/io.h"

namespace {

class Module : public testing::Test {
 protected:
  void SetUp() override {
    ctx = rill_context_new(rill_context_opts{.seed = 1, .on_error = RILL_CONTINUE});
    net = rill_module_new(ctx);
  }
  void TearDown() override { rill_context_free(ctx); }
  void expect_error(const std::string &text) {
    const char *error = rill_error(ctx);
    ASSERT_NE(error, nullptr) << "no error; expected: " << text;
    EXPECT_NE(std::string(error).find(text), std::string::npos) << error;
    rill_error_clear(ctx);
  }
  rill_context *ctx = nullptr;
  rill_module *net = nullptr;
};

TEST_F(Module, PathsAndLists) {
  rill_module *block = rill_submodule(net, "block.%d", 3);
  rill_linear_new_with(rill_submodule(block, "mixer"), "q_proj", 4, 6,
                       rill_linear_opts{.bias = true});
  rill_rmsnorm_new(block, "norm", 4);
  rill_embedding_new(net, "embed", 5, 4);
  rill_parameters all = rill_params(net), part = rill_params(block);
  ASSERT_EQ(all.count, 4);
  EXPECT_STREQ(all.at[0].name, "block.3.mixer.q_proj.weight");
  EXPECT_STREQ(all.at[1].name, "block.3.mixer.q_proj.bias");
  EXPECT_STREQ(all.at[2].name, "block.3.norm.weight");
  EXPECT_STREQ(all.at[3].name, "embed.weight");
  ASSERT_EQ(part.count, 3);
  EXPECT_EQ(part.at[2].value, all.at[2].value);
  EXPECT_EQ(rill_params_count(all), 24 + 6 + 4 + 20);
  EXPECT_FALSE(all.at[0].no_decay);
  EXPECT_TRUE(all.at[1].no_decay);
  EXPECT_TRUE(all.at[2].no_decay);
  EXPECT_FALSE(all.at[3].no_decay);
  EXPECT_EQ(rill_params_find(all, "embed.weight"), &all.at[3]);
  EXPECT_EQ(rill_params_find(all, "embed"), nullptr);
  EXPECT_EQ(rill_error(ctx), nullptr);
}

// A list that was given out stays valid when more is registered.
TEST_F(Module, ListsStayValid) {
  rill_param(net, "first", RILL_SHAPE(2), rill_init_constant(1));
  rill_parameters before = rill_params(net);
  for (int i = 0; i < 100; i++)
    rill_param(rill_submodule(net, "part.%d", i), "w", RILL_SHAPE(2), rill_init_constant(1));
  EXPECT_EQ(before.count, 1);
  EXPECT_STREQ(before.at[0].name, "first");
  EXPECT_EQ(rill_params(net).count, 101);
}

// Parameters made inside a scope outlive it.
TEST_F(Module, ParametersOutliveScopes) {
  rill_scope *outer = rill_scope_open(ctx), *inner = rill_scope_open(ctx);
  rill_tensor *w = rill_param(net, "w", RILL_SHAPE(3), rill_init_constant(2));
  rill_scope_close(inner);
  rill_scope_close(outer);
  EXPECT_EQ(rill_item(rill_sum(w, RILL_ALL_AXES, false)), 6);
  EXPECT_TRUE(rill_requires_grad(w));
}

TEST_F(Module, Initialisation) {
  auto statistics = [&](rill_init init) {
    static int n = 0;
    rill_tensor *x = rill_param(rill_submodule(net, "s%d", n++), "w", RILL_SHAPE(200, 200), init);
    double mean = rill_item(rill_mean(x, RILL_ALL_AXES, false));
    double var = rill_item(rill_var(rill_reshape(x, RILL_SHAPE(40000)), 0, false, 0));
    return std::pair<double, double>(mean, std::sqrt(var));
  };
  auto [m1, s1] = statistics(rill_init_normal(0.5));
  EXPECT_NEAR(m1, 0, 0.02);
  EXPECT_NEAR(s1, 0.5, 0.02);
  auto [m2, s2] = statistics(rill_init_uniform(1, 3));
  EXPECT_NEAR(m2, 2, 0.02);
  EXPECT_NEAR(s2, 2 / std::sqrt(12.0), 0.02);
  auto [m3, s3] = statistics(rill_init_constant(4));
  EXPECT_EQ(m3, 4);
  EXPECT_EQ(s3, 0);
  rill_tensor *steps = rill_param_as(net, "steps", RILL_F64, RILL_SHAPE(1000),
                                     rill_init_make(RILL_INIT_STEP, 1e-3, 0.1));
  rill_tensor *s = rill_softplus(steps);
  EXPECT_GE(rill_item(rill_min(s, RILL_ALL_AXES, false)), 0.999e-3);
  EXPECT_LE(rill_item(rill_max(s, RILL_ALL_AXES, false)), 0.1001);
}

TEST_F(Module, SameSeedSameWeights) {
  rill_context *other = rill_context_new(rill_context_opts{.seed = 1, .on_error = RILL_CONTINUE});
  rill_linear *a = rill_linear_new(net, "a", 7, 5);
  rill_linear *b = rill_linear_new(rill_module_new(other), "a", 7, 5);
  EXPECT_EQ(rill_hash(a->weight), rill_hash(b->weight));
  rill_context_free(other);
}

TEST_F(Module, BuffersAreNotTrained) {
  rill_tensor *x = rill_buffer(net, "table", rill_zeros(ctx, RILL_F32, RILL_SHAPE(3)));
  EXPECT_FALSE(rill_requires_grad(x));
  EXPECT_EQ(rill_params(net).count, 0);
  ASSERT_EQ(rill_buffers(net).count, 1);
  EXPECT_STREQ(rill_buffers(net).at[0].name, "table");
}

TEST_F(Module, ShapesOnlyTakeNoMemory) {
  rill_module *ghost = rill_module_new_with(ctx, rill_module_opts{.shapes_only = true});
  int64_t before = rill_memory_used(ctx).live_bytes;
  rill_linear_new(ghost, "huge", 1 << 20, 1 << 20);
  EXPECT_EQ(rill_params_count(rill_params(ghost)), int64_t{1} << 40);
  EXPECT_LT(rill_memory_used(ctx).live_bytes - before, 1024);
}

// ---- messages ----

TEST_F(Module, ErrorsNameTheLayer) {
  rill_linear *f = rill_linear_new(rill_submodule(net, "block.%d", 3), "q_proj", 256, 64);
  rill_linear_apply(f, rill_zeros(ctx, RILL_F32, RILL_SHAPE(8, 128)));
  ASSERT_NE(rill_error(ctx), nullptr);
  EXPECT_EQ(std::string(rill_error(ctx)).find("block.3.q_proj: "), 0u) << rill_error(ctx);
  rill_error_clear(ctx);
}

TEST_F(Module, Refusals) {
  rill_param(net, "w", RILL_SHAPE(2), rill_init_constant(0));
  rill_param(net, "w", RILL_SHAPE(2), rill_init_constant(0));
  expect_error("there is a parameter 'w' already");
  rill_param(net, "", RILL_SHAPE(2), rill_init_constant(0));
  expect_error("1 to 127 characters");
  rill_param(net, "bad", RILL_SHAPE(-2), rill_init_constant(0));
  expect_error("shape [-2]");
  rill_module_new_with(ctx, rill_module_opts{.dtype = RILL_I32});
  expect_error("dtype must be f32, f64 or bf16");
  rill_module_new_with(ctx, rill_module_opts{.std = NAN});
  expect_error("std >= 0");
  rill_attention_new(net, rill_attention_opts{.width = 8, .heads = 3, .groups = 2});
  expect_error("groups divide heads");
  rill_mixer_new(net, rill_mixer_opts{.width = 8, .heads = 0});
  expect_error("must be > 0");
  rill_mixer_opts opts = {};
  opts.width = 8, opts.heads = 2, opts.parts = rill_parts_of(&rill_deltanet);
  opts.parts.normaliser = true;
  rill_mixer_new(net, opts);
  expect_error("normaliser needs an additive rule");
}

TEST_F(Module, StatesOfOtherBatchesAreRefused) {
  rill_lm_config c;
  rill_lm_preset("rdn", &c);
  c.width = 8, c.heads = 2, c.layers = 1, c.vocab = 5;
  rill_lm *lm = rill_lm_new(net, &c);
  rill_state *state = rill_state_new(ctx);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_lm_next(lm, rill_zeros(ctx, RILL_I32, RILL_SHAPE(1, 3)), state);
  EXPECT_EQ(rill_error(ctx), nullptr);
  rill_lm_next(lm, rill_zeros(ctx, RILL_I32, RILL_SHAPE(2, 1)), state);
  expect_error("it is of another model or batch");
  rill_lm_apply(lm, rill_zeros(ctx, RILL_I32, RILL_SHAPE(3)));
  expect_error("ids must have shape [B, T], not [3]");
  rill_lm_apply(lm, rill_full(ctx, RILL_I32, RILL_SHAPE(1, 3), 5));
  expect_error("embed");
  rill_scope_close(scope);
}

// ---- states ----

TEST_F(Module, StateSavedAndRestored) {
  rill_lm_config c;
  rill_lm_preset("gdn", &c);
  c.width = 8, c.heads = 2, c.layers = 2, c.vocab = 5;
  rill_lm *lm = rill_lm_new(net, &c);
  rill_scope *scope = rill_scope_open_no_grad(ctx);
  rill_state *a = rill_state_new(ctx), *b = rill_state_new(ctx);
  rill_lm_next(lm, rill_randint(ctx, RILL_I32, RILL_SHAPE(1, 20), 0, 5), a);
  rill_parameters kept = rill_state_tensors(a);
  EXPECT_EQ(kept.count, 2 * 4);  // s and three convolutions in each layer
  for (int64_t i = 0; i < kept.count; i++)
    EXPECT_TRUE(rill_state_set(b, kept.at[i].name, kept.at[i].value));
  rill_state_set_position(b, rill_state_position(a));
  rill_tensor *next = rill_randint(ctx, RILL_I32, RILL_SHAPE(1, 4), 0, 5);
  EXPECT_EQ(rill_hash(rill_lm_next(lm, next, a)), rill_hash(rill_lm_next(lm, next, b)));
  rill_state_reset(a);
  EXPECT_EQ(rill_state_bytes(a), 0);
  EXPECT_EQ(rill_state_position(a), 0);
  rill_scope_close(scope);
  EXPECT_EQ(rill_error(ctx), nullptr);
}

// ---- the program of the design document ----

constexpr int VOCAB = 17, WIDTH = 16, DEPTH = 2;

struct lm_parts {
  rill_embedding *embed;
  rill_block *block[DEPTH];
  rill_rmsnorm *norm;
  rill_linear *head;
};

lm_parts lm_new(rill_module *m) {
  lm_parts f = {};
  f.embed = rill_embedding_new(m, "embed", VOCAB, WIDTH);
  for (int i = 0; i < DEPTH; i++)
    f.block[i] = rill_block_new(rill_submodule(m, "block.%d", i),
                                rill_block_opts{.width = WIDTH, .heads = 4, .mixer = &rill_rdn});
  f.norm = rill_rmsnorm_new(m, "norm", WIDTH);
  f.head = rill_linear_new(m, "head", WIDTH, VOCAB);
  return f;
}

rill_tensor *lm_apply(const lm_parts *f, rill_tensor *ids) {
  rill_tensor *x = rill_embed(f->embed, ids);
  for (int i = 0; i < DEPTH; i++) x = rill_block_apply(f->block[i], x);
  return rill_linear_apply(f->head, rill_rmsnorm_apply(f->norm, x));
}

TEST_F(Module, DesignProgram) {
  lm_parts f = lm_new(net);
  rill_optim *opt =
      rill_adamw_new(rill_params(net), rill_adamw_opts{.lr = 3e-3f, .weight_decay = 0.1f});
  rill_tensor *x = rill_randint(ctx, RILL_I32, RILL_SHAPE(2, 12), 0, VOCAB);
  rill_scope *turn = rill_scope_open(ctx);
  std::vector<double> losses;
  int64_t tensors = 0;
  for (int step = 0; step < 30 && rill_scope_reset(turn); step++) {
    if (step == 2) tensors = rill_memory_used(ctx).live_tensors;
    if (step > 2) {
      EXPECT_EQ(rill_memory_used(ctx).live_tensors, tensors);
    }
    rill_tensor *loss = rill_cross_entropy(lm_apply(&f, x), x);
    losses.push_back(rill_item(loss));
    rill_backward(loss);
    rill_clip_grad_norm(rill_params(net), 1.0f);
    rill_optim_step(opt);
  }
  ASSERT_EQ(losses.size(), 30u) << rill_error(ctx);
  EXPECT_LT(losses.back(), losses.front() - 0.5);
}

// ---- memory ----

struct Counting {
  int64_t live = 0, calls = 0, fail_at = -1;
  bool from_then_on = false;
};
void *count_alloc(void *user, size_t bytes) {
  auto *c = static_cast<Counting *>(user);
  int64_t now = c->calls++;
  if (now == c->fail_at || (c->from_then_on && c->fail_at >= 0 && now > c->fail_at)) return nullptr;
  c->live++;
  return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
void count_free(void *user, void *memory, size_t) {
  static_cast<Counting *>(user)->live--;
  free(memory);
}

// Each allocation of building, training and freeing a model fails, once (which caches of memory may
// make up for) and from then on: no crash, no leak.
TEST(ModuleFaults, EveryAllocationFails) {
  for (const char *name : {"rdn", "gdn", "transformer"}) {
    int64_t last = 1;
    for (int64_t at = -1; at < last; at += at < 60 ? 1 : 5) {
      Counting counting;
      counting.fail_at = at;
      counting.from_then_on = at % 2 != 0;
      rill_allocator table = {count_alloc, count_free, &counting};
      rill_context *ctx = rill_context_new(
          rill_context_opts{.on_error = RILL_CONTINUE, .threads = 1, .allocator = &table});
      if (!ctx) {
        EXPECT_EQ(counting.live, 0);
        continue;
      }
      rill_lm_config c;
      rill_lm_preset(name, &c);
      c.width = 8, c.heads = 2, c.layers = 1, c.vocab = 5;
      rill_module *net = rill_module_new(ctx);
      rill_lm *lm = rill_lm_new(net, &c);
      rill_optim *opt = rill_adamw_new(rill_params(net), rill_adamw_opts{});
      rill_tensor *ids = rill_zeros(ctx, RILL_I32, RILL_SHAPE(1, 3));
      rill_tensor *loss = rill_lm_loss(lm, ids, ids);
      if (!rill_is_void(loss)) rill_backward(loss);
      rill_clip_grad_norm(rill_params(net), 1e-3);
      rill_optim_step(opt);
      bool failed = rill_error(ctx) != nullptr;
      if (at < 0) {
        EXPECT_FALSE(failed) << rill_error(ctx);
        last = counting.calls;
      } else {
        EXPECT_TRUE(failed || !counting.from_then_on) << name << " at " << at;
      }
      rill_context_free(ctx);
      ASSERT_EQ(counting.live, 0) << name << " at " << at;
    }
  }
}

}  // namespace
