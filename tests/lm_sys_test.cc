// Memory, files and time of the programs.
#include <fcntl.h>
#include <string.h>

#include "tensor/io.h"
#include "tests/lm_util.h"

namespace {

TEST(LmSys, TheMessageMayQuoteItself) {
  char err[LM_ERROR_SIZE] = "disk full";
  EXPECT_FALSE(lm_fail(err, "log: %s", err));
  EXPECT_STREQ(err, "log: disk full");
  lm_fail(err, "%s", std::string(2000, 'x').c_str());
  EXPECT_EQ(strlen(err), LM_ERROR_SIZE - 1u);
}

TEST(LmSys, MemoryThatIsNotThereIsAnError) {
  char err[LM_ERROR_SIZE] = "";
  EXPECT_EQ(lm_alloc(INT64_MAX, 16, err), nullptr);
  EXPECT_CONTAINS(err, "out of memory");
  int x = 0;
  EXPECT_EQ(lm_resize(&x, INT64_MAX, 16, err), nullptr);
}

TEST(LmSys, ReadsAppend) {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  lm_bytes bytes = {};
  ASSERT_TRUE(lm_read_append(nullptr, f.write("a", "one ").c_str(), 100, &bytes, err)) << err;
  ASSERT_TRUE(lm_read_append(nullptr, f.write("e", "").c_str(), 100, &bytes, err)) << err;
  ASSERT_TRUE(lm_read_append(nullptr, f.write("b", "two").c_str(), 100, &bytes, err)) << err;
  EXPECT_EQ(std::string((char *)bytes.data, (size_t)bytes.count), "one two");
  EXPECT_FALSE(lm_read_append(nullptr, f.path("b").c_str(), 2, &bytes, err));
  EXPECT_CONTAINS(err, "longer than the 2 bytes allowed");
  EXPECT_FALSE(lm_read_append(nullptr, f.path("none").c_str(), 2, &bytes, err));
  EXPECT_CONTAINS(err, "none': No such file");
  EXPECT_FALSE(lm_read_append(nullptr, f.path().c_str(), 100, &bytes, err));
  EXPECT_CONTAINS(err, "directory");
  EXPECT_EQ(bytes.count, 7);
  free(bytes.data);
}

TEST(LmSys, WritesReplaceWhole) {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  std::string path = f.write("file", "old");
  ASSERT_TRUE(lm_write_file(path.c_str(), "newer", 5, err)) << err;
  EXPECT_EQ(lm::read_file(path), "newer");
  EXPECT_FALSE(lm_write_file(f.path("no/file").c_str(), "x", 1, err));
  EXPECT_CONTAINS(err, "cannot write");
  ASSERT_EQ(mkdir(f.path("folder").c_str(), 0777), 0);
  EXPECT_FALSE(lm_write_file(f.path("folder").c_str(), "x", 1, err)); /* fails at the rename */
  EXPECT_EQ(system(("test -z \"$(find '" + f.path() + "' -name '*.tmp')\"").c_str()), 0);
}

TEST(LmSys, FoldersAreMadeToTheBottom) {
  lm::Folder f;
  char err[LM_ERROR_SIZE] = "";
  EXPECT_TRUE(lm_make_folder(f.path("a/b/c").c_str(), err)) << err;
  EXPECT_TRUE(lm_make_folder(f.path("a/b/c/").c_str(), err)) << err;
  EXPECT_EQ(access(f.path("a/b/c").c_str(), F_OK), 0);
  f.write("file", "x");
  EXPECT_FALSE(lm_make_folder(f.path("file/c").c_str(), err));
  EXPECT_CONTAINS(err, "file': File exists");
  EXPECT_FALSE(lm_make_folder("", err));
}

/* A table of calls over bytes in memory: one byte a read, every other one interrupted; read number
 * `fail` fails. */
struct Source {
  std::string bytes;
  size_t at = 0;
  int calls = 0, fail = -1, closed = 0;
};

int open_source(void *, const char *, int, int) { return 7; }
int64_t size_of_source(void *user, int) { return (int64_t)((Source *)user)->bytes.size(); }
int64_t read_source(void *user, int, void *out, size_t count) {
  Source *s = (Source *)user;
  int call = s->calls++;
  if (call == s->fail || call % 2 == 1) {
    errno = call == s->fail ? EIO : EINTR;
    return -1;
  }
  if (s->at == s->bytes.size() || count == 0) return 0;
  *(char *)out = s->bytes[s->at++];
  return 1;
}
int close_source(void *user, int) { return ((Source *)user)->closed++, 0; }

TEST(LmSys, AnyReadMayFail) {
  for (int fail = -1; fail < 14; fail++) {
    Source s;
    s.bytes = "stream", s.fail = fail;
    rill_files files = {};
    files.open = open_source, files.read = read_source, files.size = size_of_source;
    files.close = close_source, files.user = &s;
    lm_bytes bytes = {};
    char err[LM_ERROR_SIZE] = "";
    bool ok = lm_read_append(&files, "x", 100, &bytes, err);
    EXPECT_EQ(ok, fail < 0 || fail >= s.calls) << fail;
    EXPECT_EQ(bytes.count, ok ? 6 : 0);
    EXPECT_EQ(s.closed, 1);
    EXPECT_TRUE(ok || lm::contains(err, "Input/output error")) << err;
    free(bytes.data);
  }
}

TEST(LmSys, TimeGoesForward) {
  double a = lm_now();
  EXPECT_TRUE(lm_now() >= a);
}

}  // namespace
