// Event files, read back by a decoder that shares nothing with the encoder.
#include "examples/lm/events.h"

#include <dirent.h>

#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "tests/lm_util.h"

namespace {

struct Event {
  double time = 0;
  int64_t step = 0;
  std::string version;
  int status = 0;
  std::map<std::string, float> scalar;
};

// A message cut into its fields; a failure and what came before when it is not one.
struct Field {
  uint64_t number, value;
  std::string bytes;
};
std::vector<Field> fields(const std::string &m) {
  std::vector<Field> list;
  size_t at = 0;
  auto varint = [&](uint64_t *value) {
    *value = 0;
    for (int shift = 0; at < m.size() && shift < 64; shift += 7) {
      uint8_t b = (uint8_t)m[at++];
      *value |= (uint64_t)(b & 0x7f) << shift;
      if (b < 0x80) return true;
    }
    return false;
  };
  auto broken = [&] {
    ADD_FAILURE() << "no message: stuck at byte " << at << " of " << m.size();
    return list;
  };
  while (at < m.size()) {
    uint64_t key, n = 0;
    Field f = {};
    if (!varint(&key)) return broken();
    f.number = key >> 3;
    switch (key & 7) {
      case 0:
        if (!varint(&f.value)) return broken();
        break;
      case 1:
      case 5:
        n = (key & 7) == 1 ? 8 : 4;
        if (m.size() - at < n) return broken();
        memcpy(&f.value, m.data() + at, n); /* tests run on little-endian machines */
        break;
      case 2:
        if (!varint(&n) || m.size() - at < n) return broken();
        f.bytes = m.substr(at, n);
        break;
      default:
        return broken();
    }
    at += n;
    list.push_back(f);
  }
  return list;
}

template <typename T>
T as(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

Event decode(const std::string &m) {
  Event e;
  for (const Field &f : fields(m)) {
    if (f.number == 1) e.time = as<double>(f.value);
    if (f.number == 2) e.step = (int64_t)f.value;
    if (f.number == 3) e.version = f.bytes;
    if (f.number == 7)
      for (const Field &s : fields(f.bytes)) e.status = (int)s.value;
    if (f.number != 5) continue;
    for (const Field &value : fields(f.bytes)) {
      EXPECT_EQ(value.number, 1u);
      auto pair = fields(value.bytes);
      if (pair.size() != 2u) ADD_FAILURE() << "a value of " << pair.size() << " fields";
      if (pair.size() == 2u) e.scalar[pair[0].bytes] = as<float>(pair[1].value);
    }
  }
  return e;
}

// CRC-32C by long division of polynomials, most significant bit first, on reversed bytes.
uint32_t masked(const std::string &bytes) {
  auto reverse = [](uint32_t x, int n) {
    uint32_t y = 0;
    for (int i = 0; i < n; i++) y |= (x >> i & 1) << (n - 1 - i);
    return y;
  };
  uint32_t rest = ~0u;
  for (char c : bytes) {
    rest ^= reverse((uint8_t)c, 8) << 24;
    for (int i = 0; i < 8; i++) rest = rest & 0x80000000u ? rest << 1 ^ 0x1edc6f41u : rest << 1;
  }
  uint32_t crc = ~reverse(rest, 32);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::vector<Event> read_events(const std::string &file) {
  std::vector<Event> list;
  size_t at = 0;
  while (at < file.size()) {
    uint64_t length;
    uint32_t crc;
    if (file.size() - at < 12) {
      ADD_FAILURE() << "half a record at " << at;
      break;
    }
    memcpy(&length, &file[at], 8);
    memcpy(&crc, &file[at + 8], 4);
    EXPECT_EQ(crc, masked(file.substr(at, 8)));
    if (file.size() - at - 12 < length + 4) {
      ADD_FAILURE() << "a record of " << length << " bytes at " << at;
      break;
    }
    std::string m = file.substr(at + 12, length);
    memcpy(&crc, &file[at + 12 + length], 4);
    EXPECT_EQ(crc, masked(m));
    list.push_back(decode(m));
    at += 16 + length;
  }
  return list;
}

class LmEvents : public testing::Test {
 protected:
  std::vector<Event> only() {
    std::string found;
    DIR *dir = opendir(folder.path().c_str());
    while (dirent *entry = readdir(dir))
      if (lm::contains(entry->d_name, "tfevents")) found = entry->d_name;
    closedir(dir);
    EXPECT_EQ(found.rfind("events.out.tfevents.", 0), 0u) << found;
    return read_events(lm::read_file(folder.path(found)));
  }
  lm::Folder folder;
  lm_events events;
  char err[LM_ERROR_SIZE] = "";
};

TEST_F(LmEvents, ChecksumOfKnownBytes) {
  EXPECT_EQ(masked("123456789"), (0xe3069283u >> 15 | 0xe3069283u << 17) + 0xa282ead8u);
  for (std::string text : {"", "a", "123456789", "\xff\x01\x80"})
    EXPECT_EQ(lm_events_checksum(text.data(), text.size()), masked(text));
}

TEST_F(LmEvents, EveryFieldComesBack) {
  ASSERT_TRUE(lm_events_open(&events, folder.path().c_str(), 0, err)) << err;
  for (int64_t i = 1; i <= 300; i++) {
    lm_record r = {};
    r.step = i * 1000003, r.loss = 5.0 / (double)i, r.norm = i == 7 ? NAN : 0.25, r.lr = 1e-3;
    r.seconds = 0.5, r.tokens = 4096, r.validation = i % 100 == 0 ? 2.5 : NAN;
    ASSERT_TRUE(lm_events_write(&events, &r, err)) << err;
  }
  ASSERT_TRUE(lm_events_close(&events, err)) << err;
  std::vector<Event> list = only();
  ASSERT_EQ(list.size(), 301u);
  EXPECT_EQ(list[0].version, "brain.Event:2");
  EXPECT_GT(list[0].time, 1.7e9);
  for (int64_t i = 1; i <= 300; i++) {
    const Event &e = list[(size_t)i];
    EXPECT_EQ(e.step, i * 1000003);
    EXPECT_GE(e.time, list[0].time);
    EXPECT_EQ(e.scalar.size(), 4u + (i % 100 == 0) - (i == 7));
    EXPECT_EQ(e.scalar.at("loss/train"), (float)(5.0 / (double)i));
    EXPECT_EQ(e.scalar.at("learning_rate"), 1e-3f);
    EXPECT_EQ(e.scalar.at("tokens_per_second"), 8192.f);
    EXPECT_EQ(e.scalar.count("loss/validation"), i % 100 == 0 ? 1u : 0u);
  }
}

TEST_F(LmEvents, AResumedRunForgetsTheStepsToCome) {
  ASSERT_TRUE(lm_events_open(&events, folder.path().c_str(), 40, err)) << err;
  ASSERT_TRUE(lm_events_close(&events, err)) << err;
  std::vector<Event> list = only();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1].step, 41);
  EXPECT_EQ(list[1].status, 1);
}

TEST_F(LmEvents, PlacesThatCannotBeWritten) {
  EXPECT_FALSE(lm_events_open(&events, folder.path("none").c_str(), 0, err));
  EXPECT_CONTAINS(err, "cannot write");
  EXPECT_CONTAINS(err, "No such file");
}

}  // namespace
