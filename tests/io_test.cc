// Files: whole reads, atomic saves, short counts, interruptions, what is no file, a full disk.
#include "tests/files_util.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/tensor_util.h"

namespace {

using namespace rill_test;

class Io : public testing::Test {
 protected:
  void SetUp() override {
    table = files.table();
    memory = allocator.table();
    rill_context_opts opts = {};
    opts.on_error = RILL_CONTINUE;
    opts.files = &table;
    opts.allocator = &memory;
    ctx = rill_context_new(opts);
  }
  void TearDown() override {
    rill_context_free(ctx);
    EXPECT_EQ(allocator.live, 0);
    EXPECT_TRUE(files.open_files.empty());
  }
  bool save(const std::string &path, const std::string &bytes) {
    return rill_file_save(ctx, path.c_str(), bytes.data(), bytes.size());
  }
  std::string load(const std::string &path, size_t limit = 1 << 20) {
    size_t size = 0;
    char *bytes = static_cast<char *>(rill_file_load(ctx, path.c_str(), limit, &size));
    if (!bytes) return "(none)";
    EXPECT_EQ(bytes[size], '\0');
    std::string text(bytes, size);
    rill_free(ctx, bytes);
    return text;
  }
  void expect_error(const std::string &text) {
    ASSERT_NE(rill_error(ctx), nullptr) << "no error; expected: " << text;
    EXPECT_NE(std::string(rill_error(ctx)).find(text), std::string::npos) << rill_error(ctx);
    EXPECT_EQ(rill_error_status(ctx), RILL_ERROR_FILE);
    rill_error_clear(ctx);
  }
  Folder folder;
  Files files;
  Allocator allocator;
  rill_files table{};
  rill_allocator memory{};
  rill_context *ctx = nullptr;
};

TEST_F(Io, SaveAndLoad) {
  std::string path = folder / "a", zeros(100000, '\0');
  for (const std::string &bytes :
       {std::string(), std::string("x"), zeros, std::string("y\0z", 3)}) {
    ASSERT_TRUE(save(path, bytes));
    EXPECT_EQ(load(path), bytes);
    EXPECT_EQ(folder.names(), std::set<std::string>{"a"}) << "no temporary file is left";
  }
}

TEST_F(Io, ShortCountsAndInterruptions) {
  files.short_counts = files.interrupted = true;
  std::string bytes(1000, '?');
  ASSERT_TRUE(save(folder / "a", bytes)) << rill_error(ctx);
  EXPECT_EQ(load(folder / "a"), bytes);
}

TEST_F(Io, LoadRefuses) {
  EXPECT_EQ(load(folder / "missing"), "(none)");
  expect_error("could not be opened: No such file");
  EXPECT_EQ(load(""), "(none)");
  expect_error("could not be opened");
  EXPECT_EQ(load(folder.path), "(none)");
  expect_error("is no regular file");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(load(folder / "pipe"), "(none)");
  expect_error("is no regular file");
  save(folder / "big", std::string(11, 'x'));
  EXPECT_EQ(load(folder / "big", 11), std::string(11, 'x'));
  EXPECT_EQ(load(folder / "big", 10), "(none)");
  expect_error("has 11 bytes; at most 10 are taken");
}

TEST_F(Io, SaveRefuses) {
  EXPECT_FALSE(save(folder / "no/such/folder", "x"));
  expect_error("a file beside it could not be created: No such file");
  ASSERT_EQ(mkdir((folder / "d").c_str(), 0700), 0);
  EXPECT_FALSE(save(folder / "d", "x"));
  expect_error("the new file could not be given its name");
  EXPECT_EQ(folder.names(), std::set<std::string>{"d"});
  rmdir((folder / "d").c_str());
  EXPECT_FALSE(save("", "x"));
  rill_error_clear(ctx);
  ::unlink(".tmp");
}

// A temporary file that a killed process of the same number left does not stand in the way.
TEST_F(Io, StaleTemporaryFiles) {
  std::string stale = folder / ("a." + std::to_string(getpid()) + "-0.tmp");
  std::ofstream(stale) << "stale";
  ASSERT_TRUE(save(folder / "a", "new"));
  EXPECT_EQ(contents(stale), "stale");
  EXPECT_EQ(contents(folder / "a"), "new");
}

TEST_F(Io, RelativePaths) {
  char before[4096];
  ASSERT_NE(getcwd(before, sizeof before), nullptr);
  ASSERT_EQ(chdir(folder.path.c_str()), 0);
  EXPECT_TRUE(save("here", "x"));
  EXPECT_EQ(load("here"), "x");
  ASSERT_EQ(chdir(before), 0);
}

TEST_F(Io, FileEndsEarly) {
  save(folder / "a", "12345");
  int fd = ::open((folder / "a").c_str(), O_RDONLY);
  char bytes[8];
  EXPECT_TRUE(rill_file_read(ctx, fd, bytes, 5));
  errno = 77;
  EXPECT_FALSE(rill_file_read(ctx, fd, bytes, 1));
  EXPECT_EQ(errno, 0);
  ::close(fd);
}

// The disk is full (a limit on the size of files): the old file stays.
TEST_F(Io, FullDisk) {
  ASSERT_TRUE(save(folder / "a", "old"));
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {10000, 10000};
    setrlimit(RLIMIT_FSIZE, &limit);
    bool saved = save(folder / "a", std::string(20000, 'x'));
    std::string why = saved ? "" : rill_error(ctx);
    _exit(!saved && why.find("could not be written: File too large") != std::string::npos ? 7 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_EQ(contents(folder / "a"), "old");
  EXPECT_EQ(folder.names(), std::set<std::string>{"a"});
}

// Killed at any moment of many saves, the file is one of the versions, whole.
TEST_F(Io, KilledWhileSaving) {
  std::string path = folder / "a";
  ASSERT_TRUE(save(path, std::string(50000, 'a')));
  for (int round = 0; round < 30; round++) {
    pid_t child = fork();
    if (child == 0) {
      for (char c = 'a';; c = c == 'z' ? 'a' : static_cast<char>(c + 1))
        save(path, std::string(50000, c));
    }
    usleep(static_cast<useconds_t>(500 + 700 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    std::string bytes = contents(path);
    ASSERT_EQ(bytes.size(), 50000u);
    ASSERT_EQ(bytes, std::string(50000, bytes[0]));
  }
}

TEST_F(Io, NothingAfterAnError) {
  rill_fail(ctx, RILL_ERROR_STATE, "before");
  EXPECT_FALSE(save(folder / "a", "x"));
  EXPECT_EQ(load(folder / "a"), "(none)");
  EXPECT_TRUE(folder.names().empty());
  rill_error_clear(ctx);
}

}  // namespace
