// What the tests of examples/lm share: a folder of their own, and files in it.
#ifndef RILL_TESTS_LM_UTIL_H_
#define RILL_TESTS_LM_UTIL_H_

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "examples/lm/sys.h"

namespace lm {

// A folder that is removed with everything in it.
class Folder {
 public:
  Folder() {
    const char *base = getenv("TEST_TMPDIR");
    std::string name = std::string(base ? base : "/tmp") + "/lm_test_XXXXXX";
    path_ = mkdtemp(name.data()) ? name : "";
  }
  ~Folder() {
    if (!path_.empty() && system(("rm -rf '" + path_ + "'").c_str()) != 0)
      ADD_FAILURE() << "could not remove " << path_;
  }
  Folder(const Folder &) = delete;
  Folder &operator=(const Folder &) = delete;

  std::string path(const std::string &name = "") const {
    return name.empty() ? path_ : path_ + "/" + name;
  }
  // Writes a file, making the folders above it, and returns its path.
  std::string write(const std::string &name, const std::string &bytes) const {
    std::string full = path(name);
    char err[LM_ERROR_SIZE];
    EXPECT_TRUE(lm_make_folder(full.substr(0, full.rfind('/')).c_str(), err)) << err;
    std::ofstream(full, std::ios::binary) << bytes;
    return full;
  }

 private:
  std::string path_;
};

inline std::string read_file(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// The test's text: paragraphs of words, the same for the same seed.
inline std::string prose(size_t bytes, unsigned seed = 1) {
  static const char *const word[] = {"the", "river", "runs", "over", "stones", "and",
                                     "a",   "rill",  "is",   "born", "of",     "rain"};
  std::string text;
  uint32_t x = seed * 2654435761u + 1;
  while (text.size() < bytes) {
    x = x * 1664525u + 1013904223u;
    text += word[(x >> 16) % 12];
    text += (x >> 8) % 40 == 0 ? "\n\n" : " ";
  }
  text.resize(bytes);
  return text;
}

}  // namespace lm

#define EXPECT_CONTAINS(text, part) \
  EXPECT_PRED2(::lm::contains, std::string(text), std::string(part))

#endif  // RILL_TESTS_LM_UTIL_H_
