// Arenas: blocks never overlap, given memory comes together again, and the same calls get the same
// places.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <vector>

#include "tensor/arena.h"

namespace {

int fail_after = -1;  // allocations of tables; -1 = never

rilli_arena empty() {
  rilli_arena a = {};
  a.allocator.alloc = [](void *, size_t bytes) -> void * {
    return fail_after >= 0 && fail_after-- == 0 ? nullptr : std::malloc(bytes);
  };
  a.allocator.free = [](void *, void *memory, size_t) { std::free(memory); };
  fail_after = -1;
  return a;
}

char *address(uintptr_t at) { return reinterpret_cast<char *>(at); }  // never touched

// What is out never overlaps, lies in a chunk, and is aligned.
struct Model {
  rilli_arena a = empty();
  std::map<char *, size_t> chunks, out;

  ~Model() { rilli_arena_free(&a); }
  void add(uintptr_t at, size_t bytes) {
    ASSERT_TRUE(rilli_arena_add(&a, address(at), bytes));
    chunks[address(at)] = bytes;
  }
  char *take(size_t bytes) {
    char *p = static_cast<char *>(rilli_arena_take(&a, bytes));
    if (!p) return p;
    auto chunk = std::prev(chunks.upper_bound(p));
    EXPECT_LE(p + bytes, chunk->first + chunk->second);
    EXPECT_EQ(uintptr_t(p) % RILLI_ARENA_ALIGN, 0u);
    auto next = out.lower_bound(p);
    if (next != out.end()) EXPECT_LE(p + bytes, next->first);
    if (next != out.begin()) EXPECT_LE(std::prev(next)->first + std::prev(next)->second, p);
    out[p] = bytes ? bytes : 1;
    return p;
  }
  void give(char *p) {
    EXPECT_TRUE(rilli_arena_give(&a, p));
    out.erase(p);
  }
};

std::vector<char *> story(Model *m, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<char *> places;
  for (int i = 0; i < 4000; i++) {
    if (m->out.empty() || random() % 5 < 3) {
      places.push_back(m->take(random() % 100000));
    } else {
      auto it = m->out.begin();
      std::advance(it, random() % m->out.size());
      m->give(it->first);
    }
  }
  while (!m->out.empty()) m->give(m->out.begin()->first);
  return places;
}

TEST(Arena, BlocksDoNotOverlapAndPlacesRepeat) {
  Model m;
  EXPECT_EQ(m.take(1), nullptr);
  m.add(1 << 20, 1 << 20);
  m.add(64 << 20, 3 << 20);
  m.add(2 << 20, 1 << 20);  // behind the first: joined with it never
  std::vector<char *> first = story(&m, 1);
  EXPECT_EQ(m.a.used, 0u);
  EXPECT_EQ(m.a.count, 3u);  // three free chunks again
  EXPECT_EQ(story(&m, 1), first);
  EXPECT_EQ(m.take((1 << 20) + 1), address(64 << 20));
  EXPECT_EQ(m.take(5 << 20), nullptr);
  EXPECT_EQ(m.take(SIZE_MAX), nullptr);
}

TEST(Arena, OnlyItsOwnBlocksComeBack) {
  Model m;
  m.add(1 << 20, 1 << 20);
  char *p = m.take(1000), *q = m.take(0);
  EXPECT_FALSE(rilli_arena_give(&m.a, p + 1));
  EXPECT_FALSE(rilli_arena_give(&m.a, address(5 << 20)));
  EXPECT_FALSE(rilli_arena_give(&m.a, address(64)));
  m.give(q);
  EXPECT_FALSE(rilli_arena_give(&m.a, q));
  m.give(p);
  EXPECT_EQ(m.take(1 << 20), p);
}

TEST(Arena, ShortHostMemoryIsARefusal) {
  rilli_arena a = empty();
  fail_after = 0;
  EXPECT_FALSE(rilli_arena_add(&a, address(1 << 20), 1 << 20));
  ASSERT_TRUE(rilli_arena_add(&a, address(1 << 20), 1 << 20));
  size_t taken = 0;
  fail_after = 0;  // the table is full once
  while (rilli_arena_take(&a, 1)) taken++;
  EXPECT_EQ(taken, a.capacity - 1);
  EXPECT_NE(rilli_arena_take(&a, 1), nullptr);
  rilli_arena_free(&a);
}

}  // namespace
