// Tensor files: there and back, strangers' files, damaged files, failing disks.
#include "nn/safetensors.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ops/ops.h"
#include "tensor/io.h"

namespace {

namespace fs = std::filesystem;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::path(testing::TempDir()) /
             ("safetensors_" +
              std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder);
    fs::create_directories(folder);
    path = (folder / "x.safetensors").string();
    ctx = rill_context_new(rill_context_opts{.seed = 5, .on_error = RILL_CONTINUE});
  }
  void TearDown() override {
    rill_context_free(ctx);
    fs::remove_all(folder);
  }

  std::string read_all() {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  void write_all(const std::string &bytes) { std::ofstream(path, std::ios::binary) << bytes; }
  // A file with that header text and that many zero bytes of data.
  void write_header(const std::string &json, size_t data, int64_t length = -1) {
    uint64_t n = length >= 0 ? uint64_t(length) : json.size();
    std::string bytes(8, '\0');
    for (size_t i = 0; i < 8; i++) bytes[i] = char(n >> (8 * i) & 0xff);
    write_all(bytes + json + std::string(data, '\0'));
  }
  std::string open_error() {
    rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
    EXPECT_EQ(file, nullptr);
    rill_safetensors_close(file);
    std::string error = rill_error(ctx) ? rill_error(ctx) : "(none)";
    rill_error_clear(ctx);
    return error;
  }
  std::vector<rill_parameter> samples() {
    return {{"f64", rill_randn(ctx, RILL_F64, RILL_SHAPE(3, 5)), false},
            {"f32", rill_randn(ctx, RILL_F32, RILL_SHAPE(7)), false},
            {"bf16", rill_randn(ctx, RILL_BF16, RILL_SHAPE(2, 3, 4)), false},
            {"i32", rill_randint(ctx, RILL_I32, RILL_SHAPE(9), -50, 50), false},
            {"i64", rill_randint(ctx, RILL_I64, RILL_SHAPE(2, 2), -50, 50), false},
            {"u8", rill_randint(ctx, RILL_U8, RILL_SHAPE(11), 0, 256), false},
            {"bool", rill_randint(ctx, RILL_BOOL, RILL_SHAPE(3), 0, 2), false},
            {"scalar", rill_scalar(ctx, RILL_F32, 2.5), false},
            {"empty", rill_zeros(ctx, RILL_F32, RILL_SHAPE(0, 4)), false},
            {"view \"\u00e9\"", rill_transpose(rill_randn(ctx, RILL_F32, RILL_SHAPE(3, 4)), 0, 1),
             false}};
  }
  rill_parameters list(const std::vector<rill_parameter> &v) {
    return {ctx, int64_t(v.size()), v.data()};
  }

  fs::path folder;
  std::string path;
  rill_context *ctx = nullptr;
};

TEST_F(Safetensors, ThereAndBack) {
  auto tensors = samples();
  rill_metadata metadata[] = {{"config", "{\"a\": \"\u00fc\n\"}"}, {"step", "12"}};
  ASSERT_TRUE(rill_safetensors_save(ctx, path.c_str(), list(tensors), 2, metadata))
      << rill_error(ctx);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);  // no temporary file is left
  rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
  ASSERT_NE(file, nullptr) << rill_error(ctx);
  EXPECT_EQ(rill_safetensors_count(file), int64_t(tensors.size()));
  for (const auto &t : tensors) {
    rill_tensor *x = rill_safetensors_get(file, t.name);
    EXPECT_EQ(rill_hash(x), rill_hash(t.value)) << t.name << " " << rill_error(ctx);
    EXPECT_EQ(rill_dtype_of(x), rill_dtype_of(t.value));
  }
  EXPECT_STREQ(rill_safetensors_metadata(file, "step"), "12");
  EXPECT_STREQ(rill_safetensors_metadata(file, "config"), metadata[0].value);
  EXPECT_EQ(rill_safetensors_metadata(file, "other"), nullptr);
  EXPECT_EQ(rill_safetensors_find(file, "other"), -1);
  EXPECT_EQ(rill_safetensors_at(file, 0).name, std::string("f64"));
  EXPECT_EQ(rill_safetensors_at(file, 99).name, nullptr);
  rill_safetensors_get(file, "other");
  EXPECT_NE(std::string(rill_error(ctx)).find("there is no tensor 'other'"), std::string::npos);
  rill_safetensors_close(file);
}

// The header is padded to 8 bytes; saving again replaces the file with the same bytes.
TEST_F(Safetensors, BytesAreDeterministic) {
  auto tensors = samples();
  ASSERT_TRUE(rill_safetensors_save(ctx, path.c_str(), list(tensors), 0, nullptr));
  std::string first = read_all();
  ASSERT_TRUE(rill_safetensors_save(ctx, path.c_str(), list(tensors), 0, nullptr));
  EXPECT_EQ(read_all(), first);
  uint64_t n;
  memcpy(&n, first.data(), 8);
  EXPECT_EQ(n % 8, 0u);
  EXPECT_EQ(first[8], '{');
}

TEST_F(Safetensors, FilesOfOthersWithoutChecksums) {
  write_header(
      "{\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
      "\"a\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}   ",
      16);
  rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
  ASSERT_NE(file, nullptr) << rill_error(ctx);
  EXPECT_EQ(rill_item(rill_safetensors_get(file, "a")), 0);
  EXPECT_EQ(rill_size(rill_safetensors_get(file, "b"), 0), 2);
  rill_safetensors_close(file);
  write_header("{}", 0);
  file = rill_safetensors_open(ctx, path.c_str());
  EXPECT_EQ(rill_safetensors_count(file), 0);
  rill_safetensors_close(file);
  EXPECT_EQ(rill_error(ctx), nullptr) << rill_error(ctx);
}

// F16 of others: normal, subnormal, largest, infinite, negative zero.
TEST_F(Safetensors, HalfPrecisionIsReadAsF32) {
  std::string header = "{\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[0,12]}}  ";
  const uint16_t bits[6] = {0x3c00, 0xc100, 0x0001, 0x7bff, 0x7c00, 0x8000};
  uint64_t n = header.size();
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char *>(&n), 8)
      .write(header.data(), static_cast<std::streamsize>(n))
      .write(reinterpret_cast<const char *>(bits), sizeof bits);
  rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
  ASSERT_NE(file, nullptr) << rill_error(ctx);
  rill_tensor *x = rill_safetensors_get(file, "h");
  EXPECT_EQ(rill_dtype_of(x), RILL_F32);
  double v[6];
  ASSERT_TRUE(rill_read_f64(x, v, 6)) << rill_error(ctx);
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(v[1], -2.5);
  EXPECT_EQ(v[2], std::ldexp(1.0, -24));
  EXPECT_EQ(v[3], 65504);
  EXPECT_TRUE(std::isinf(v[4]));
  EXPECT_TRUE(v[5] == 0 && std::signbit(v[5]));
  rill_safetensors_close(file);
}

std::string entry(const std::string &dtype, const std::string &shape, const std::string &range) {
  return "{\"x\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + range +
         "}}";
}

TEST_F(Safetensors, StrangersAreRefused) {
  std::string deep(5000, '['), good = "{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}";
  struct {
    std::string header;
    size_t data;
    std::string message;
  } cases[] = {
      {"[1]", 0, "does not start with '{'"},
      {" {}", 0, "does not start with '{'"},
      {"{ ", 0, "not valid"},
      {"{}x", 0, "not valid"},
      {"{\"x\":" + deep + "}", 0, "not valid"},
      {"{\"x\":3}", 0, "is no object"},
      {"{\"x\":{}}", 0, "has no dtype"},
      {"{\"\":" + good + "}", 4, "1 to 4096 are allowed"},
      {"{\"" + std::string(5000, 'n') + "\":" + good + "}", 4, "1 to 4096 are allowed"},
      {"{\"\xff\":" + good + "}", 4, "not valid"},
      {"{\"x\\u0000y\":" + good + "}", 4, "not valid"},
      {"{\"x\":" + good + ",\"x\":" + good + "}", 4, "duplicate object key"},
      {"{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"more\":1}}", 4,
       "unknown key 'more'"},
      {"{\"__metadata__\":3}", 0, "is no object"},
      {"{\"__metadata__\":{\"a\":3}}", 0, "metadata 'a' is no string"},
      {entry("F8_E4M3", "[4]", "[0,4]"), 4, "dtype 'F8_E4M3'"},
      {entry("F16", "[1]", "[0,4]"), 4, "F16 [1] needs 2 bytes but has 4"},
      {entry("f32", "[1]", "[0,4]"), 4, "dtype 'f32'"},
      {entry("U8", "4", "[0,4]"), 4, "has no shape"},
      {entry("U8", "[-4]", "[0,4]"), 4, "not an integer >= 0"},
      {entry("U8", "[4.0]", "[0,4]"), 4, "not an integer >= 0"},
      {entry("U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]"), 4, "rank 9; the most is 8"},
      {entry("U8", "[4294967296,4294967296]", "[0,0]"), 0, "overflow"},
      {entry("F64", "[2305843009213693952]", "[0,0]"), 0, "overflow"},
      {entry("U8", "[99999999999999999999]", "[0,4]"), 4, "not valid"},
      {entry("U8", "[4]", "[0]"), 4, "data_offsets must be two integers"},
      {entry("U8", "[4]", "[0,4,4]"), 4, "data_offsets must be two integers"},
      {entry("U8", "[4]", "[0,4.5]"), 4, "data_offsets must be two integers"},
      {entry("U8", "[4]", "[-1,3]"), 4, "do not lie in the 4 bytes"},
      {entry("U8", "[4]", "[4,0]"), 4, "do not lie in the 4 bytes"},
      {entry("U8", "[4]", "[0,4]"), 3, "do not lie in the 3 bytes"},
      {entry("U8", "[9223372036854775807]", "[0,9223372036854775807]"), 4, "do not lie in"},
      {entry("U8", "[4]", "[0,3]"), 4, "needs 4 bytes but has 3"},
      {entry("F32", "[4]", "[0,4]"), 4, "needs 16 bytes but has 4"},
      {entry("U8", "[4]", "[0,4]"), 5, "the tensors end at byte 4 of 5"},
      {entry("U8", "[3]", "[1,4]"), 4, "begins at byte 1 where 0 was expected"},
      {"{}", 1, "the tensors end at byte 0 of 1"},
      {"{\"x\":" + good + ",\"y\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6,
       "overlap or leave a gap"},
      {"{\"x\":" + good + ",\"y\":" + good + "}", 4, "overlap or leave a gap"},
  };
  for (const auto &c : cases) {
    write_header(c.header, c.data);
    std::string error = open_error();
    EXPECT_NE(error.find(c.message), std::string::npos)
        << c.header.substr(0, 100) << "\n  " << error;
    EXPECT_NE(error.find(path), std::string::npos) << error;
  }
}

TEST_F(Safetensors, LengthsThatLie) {
  EXPECT_NE(open_error().find("cannot be opened: No such file"), std::string::npos);
  write_all("");
  EXPECT_NE(open_error().find("has 0 bytes"), std::string::npos);
  write_all("1234567");
  EXPECT_NE(open_error().find("has 7 bytes"), std::string::npos);
  write_header("{}", 0, 3);
  EXPECT_NE(open_error().find("said to have 3 bytes"), std::string::npos);
  write_header("{}", 0, 100000001);
  EXPECT_NE(open_error().find("said to have 100000001 bytes"), std::string::npos);
  write_header("{}", 0, INT64_MAX);
  EXPECT_NE(open_error().find("said to have"), std::string::npos);
  write_header("{}", 4, 0);
  EXPECT_NE(open_error().find("does not start with '{'"), std::string::npos);
  path = folder.string();
  EXPECT_NE(open_error().find("not a regular file"), std::string::npos);
  path = "";
  EXPECT_NE(open_error().find("cannot be opened"), std::string::npos);
}

// Every single byte of a small file is changed and every shorter length tried: an error, or the
// change is seen in the values; never a crash.
TEST_F(Safetensors, EveryByteDamaged) {
  std::vector<rill_parameter> tensors = {{"a", rill_arange(ctx, RILL_F32, 4), false},
                                         {"b", rill_arange(ctx, RILL_I64, 3), false}};
  ASSERT_TRUE(rill_safetensors_save(ctx, path.c_str(), list(tensors), 0, nullptr));
  std::string good = read_all();
  uint64_t header;
  memcpy(&header, good.data(), 8);
  int accepted = 0;
  auto attempt = [&]() {
    rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
    bool loaded = file && rill_safetensors_load(file, list(tensors), true);
    rill_safetensors_close(file);
    EXPECT_EQ(loaded, rill_error(ctx) == nullptr);
    rill_error_clear(ctx);
    return loaded;
  };
  for (size_t i = 0; i < good.size(); i++)
    for (int flip : {1, 0x20, 0x80}) {
      std::string bad = good;
      bad[i] = char(bad[i] ^ flip);
      write_all(bad);
      bool loaded = attempt();
      accepted += loaded;
      if (i >= 8 + header) {
        EXPECT_FALSE(loaded) << "byte " << i << " of the data";
      }
    }
  // A changed name of a checksum cannot be told from a stranger's file without one.
  EXPECT_LT(accepted, 250);
  for (size_t n = 0; n < good.size(); n++) {
    write_all(good.substr(0, n));
    EXPECT_FALSE(attempt()) << n;
  }
  write_all(good);
  EXPECT_TRUE(attempt());
}

TEST_F(Safetensors, BooleansAreZeroOrOne) {
  write_header(entry("BOOL", "[4]", "[0,4]"), 4);
  std::string bytes = read_all();
  bytes.back() = 2;
  write_all(bytes);
  rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
  EXPECT_TRUE(rill_is_void(rill_safetensors_get(file, "x")));
  EXPECT_NE(std::string(rill_error(ctx)).find("element 3 is 2, not 0 or 1"), std::string::npos);
  rill_safetensors_close(file);
}

// ---- loading lists ----

TEST_F(Safetensors, LoadComparesNamesAndShapes) {
  std::vector<rill_parameter> saved = {{"a", rill_full(ctx, RILL_F32, RILL_SHAPE(2, 3), 7), false},
                                       {"b", rill_full(ctx, RILL_F32, RILL_SHAPE(4), 8), false}};
  ASSERT_TRUE(rill_safetensors_save(ctx, path.c_str(), list(saved), 0, nullptr));
  rill_safetensors *file = rill_safetensors_open(ctx, path.c_str());
  rill_tensor *a = rill_zeros(ctx, RILL_BF16, RILL_SHAPE(2, 3));
  rill_tensor *b = rill_zeros(ctx, RILL_F64, RILL_SHAPE(4));
  struct {
    std::vector<rill_parameter> into;
    bool exact;
    std::string message;
  } cases[] = {
      {{{"a", a, false}, {"c", b, false}}, true, "tensor 'c' is missing"},
      {{{"a", a, false}, {"b", rill_zeros(ctx, RILL_F32, RILL_SHAPE(5)), false}},
       true,
       "tensor 'b' is f32 [4]; the model needs f32 [5]"},
      {{{"a", a, false}, {"b", rill_zeros(ctx, RILL_I64, RILL_SHAPE(4)), false}},
       true,
       "tensor 'b' is f32 [4]; the model needs i64 [4]"},
      {{{"a", a, false}}, true, "tensor 'b' is not part of the model"},
  };
  for (auto &c : cases) {
    EXPECT_FALSE(rill_safetensors_load(file, list(c.into), c.exact));
    EXPECT_NE(std::string(rill_error(ctx)).find(c.message), std::string::npos) << rill_error(ctx);
    rill_error_clear(ctx);
    EXPECT_EQ(rill_item(rill_sum(rill_cast(a, RILL_F32), RILL_ALL_AXES, false)), 0);
  }
  std::vector<rill_parameter> into = {{"b", b, false}};
  EXPECT_TRUE(rill_safetensors_load(file, list(into), false)) << rill_error(ctx);
  EXPECT_EQ(rill_item(rill_sum(b, RILL_ALL_AXES, false)), 32);
  into = {{"b", b, false}, {"a", a, false}};
  EXPECT_TRUE(rill_safetensors_load(file, list(into), true)) << rill_error(ctx);
  EXPECT_EQ(rill_item(rill_sum(rill_cast(a, RILL_F32), RILL_ALL_AXES, false)), 42);
  rill_safetensors_close(file);
  EXPECT_FALSE(rill_safetensors_load(nullptr, list(into), true));
}

TEST_F(Safetensors, SavesRefuseBadLists) {
  rill_tensor *x = rill_zeros(ctx, RILL_F32, RILL_SHAPE(2));
  auto expect = [&](std::vector<rill_parameter> v, const std::string &message) {
    EXPECT_FALSE(rill_safetensors_save(ctx, path.c_str(), list(v), 0, nullptr));
    ASSERT_NE(rill_error(ctx), nullptr) << message;
    EXPECT_NE(std::string(rill_error(ctx)).find(message), std::string::npos) << rill_error(ctx);
    rill_error_clear(ctx);
    EXPECT_FALSE(fs::exists(path));
  };
  expect({{"a", x, false}, {"a", x, false}}, "there are two tensors 'a'");
  expect({{"__metadata__", x, false}}, "there are two tensors");
  expect({{"\xff\xfe", x, false}}, "not UTF-8");
  path = (folder / "missing" / "x").string();
  expect({{"a", x, false}}, "cannot be made: No such file");
}

// ---- failing disks ----

struct Faults {
  const rill_files *system = nullptr;
  int calls = 0, fail_at = -1, short_writes = 0;
  bool from_then_on = false;
  bool fails() {
    int now = calls++;
    bool yes = fail_at >= 0 && (from_then_on ? now >= fail_at : now == fail_at);
    if (yes) errno = EIO;
    return yes;
  }
};
Faults &of(void *user) { return *static_cast<Faults *>(user); }

rill_files table(Faults *faults) {
  rill_files t = {};
  t.user = faults;
  t.open = [](void *u, const char *p, int f, int m) {
    return of(u).fails() ? -1 : of(u).system->open(of(u).system->user, p, f, m);
  };
  t.read = [](void *u, int fd, void *b, size_t n) -> int64_t {
    if (of(u).short_writes && n > 3) n = 3;
    return of(u).fails() ? -1 : of(u).system->read(of(u).system->user, fd, b, n);
  };
  t.write = [](void *u, int fd, const void *b, size_t n) -> int64_t {
    if (of(u).short_writes && n > 3) n = 3;
    return of(u).fails() ? -1 : of(u).system->write(of(u).system->user, fd, b, n);
  };
  t.size = [](void *u, int fd) -> int64_t {
    return of(u).fails() ? -1 : of(u).system->size(of(u).system->user, fd);
  };
  t.seek = [](void *u, int fd, int64_t o) -> int64_t {
    return of(u).fails() ? -1 : of(u).system->seek(of(u).system->user, fd, o);
  };
  t.sync = [](void *u, int fd) {
    return of(u).fails() ? -1 : of(u).system->sync(of(u).system->user, fd);
  };
  t.close = [](void *u, int fd) {
    int result = of(u).system->close(of(u).system->user, fd);
    return of(u).fails() ? -1 : result;
  };
  t.rename = [](void *u, const char *a, const char *b) {
    return of(u).fails() ? -1 : of(u).system->rename(of(u).system->user, a, b);
  };
  t.unlink = [](void *u, const char *p) { return of(u).system->unlink(of(u).system->user, p); };
  t.mkdir = [](void *u, const char *p, int m) {
    return of(u).fails() ? -1 : of(u).system->mkdir(of(u).system->user, p, m);
  };
  return t;
}

TEST_F(Safetensors, EveryCallFails) {
  Faults faults;
  faults.system = rill_context_files(ctx);
  rill_files files = table(&faults);
  rill_context *bad =
      rill_context_new(rill_context_opts{.on_error = RILL_CONTINUE, .files = &files});
  rill_tensor *x = rill_arange(bad, RILL_F32, 5);
  std::vector<rill_parameter> old = {{"old", x, false}}, fresh = {{"new", x, false}};
  auto save = [&](const std::vector<rill_parameter> &v) {
    return rill_safetensors_save(bad, path.c_str(), {bad, int64_t(v.size()), v.data()}, 0, nullptr);
  };
  ASSERT_TRUE(save(old)) << rill_error(bad);
  std::string before = read_all();
  faults.calls = 0;
  ASSERT_TRUE(save(fresh));
  std::string after = read_all();
  int total = faults.calls;
  EXPECT_GE(total, 8);
  for (bool from_then_on : {false, true})
    for (int at = 0; at < total; at++) {
      faults.fail_at = -1;
      ASSERT_TRUE(save(old));
      faults.calls = 0, faults.fail_at = at, faults.from_then_on = from_then_on;
      bool saved = save(fresh);
      if (saved) {
        EXPECT_EQ(rill_error(bad), nullptr);
      } else {
        EXPECT_NE(std::string(rill_error(bad)).find(path), std::string::npos) << rill_error(bad);
      }
      rill_error_clear(bad);
      std::string now = read_all();
      EXPECT_TRUE(now == before || now == after) << at;
      if (saved) {
        EXPECT_EQ(now, after) << at;
      }
      EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1) << at;
    }
  faults.fail_at = -1, faults.from_then_on = false;
  ASSERT_TRUE(save(fresh));
  for (int at = 0;; at++) {
    faults.calls = 0, faults.fail_at = at;
    rill_safetensors *file = rill_safetensors_open(bad, path.c_str());
    bool read = file && !rill_is_void(rill_safetensors_get(file, "new"));
    bool failed = rill_error(bad) != nullptr;
    EXPECT_EQ(read, !failed);
    bool reached = faults.calls > at;
    rill_safetensors_close(file);
    rill_error_clear(bad);
    if (!reached) break;
  }
  faults.fail_at = -1, faults.short_writes = 1;
  ASSERT_TRUE(save(old)) << rill_error(bad);
  EXPECT_EQ(read_all(), before);
  EXPECT_EQ(rill_context_free(bad), 0);
}

}  // namespace
