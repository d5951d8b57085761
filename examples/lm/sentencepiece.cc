/* A thin shim over SentencePiece's C++ interface: see sentencepiece.h. */
#include "examples/lm/sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "examples/lm/sys.h"

namespace {

using sentencepiece::SentencePieceProcessor;
using sentencepiece::SentencePieceTrainer;

void say(char *err, const std::string &text) { snprintf(err, LM_ERROR_SIZE, "%s", text.c_str()); }

/* The library's messages begin with the line of its source: "INTERNAL: src/x.cc(5) [a == b] why".
 * Users are told the rest. */
std::string reason(const sentencepiece::util::Status &status) {
  std::string text = status.ToString();
  size_t bracket = text.rfind("] ");
  return bracket == std::string::npos ? text : text.substr(bracket + 2);
}

void *load(const void *model, size_t bytes, char *err) {
  try {
    auto processor = std::make_unique<SentencePieceProcessor>();
    std::string proto(static_cast<const char *>(model), bytes);
    auto status = processor->LoadFromSerializedProto(proto);
    if (status.ok()) return processor.release();
    say(err, reason(status));
  } catch (const std::exception &e) {
    say(err, e.what());
  }
  return nullptr;
}

void release(void *processor) { delete static_cast<SentencePieceProcessor *>(processor); }

int64_t encode(const void *processor, const char *text, size_t bytes, int32_t *ids, int64_t room) {
  try {
    std::vector<int> all;
    auto status =
        static_cast<const SentencePieceProcessor *>(processor)->Encode({text, bytes}, &all);
    if (!status.ok()) return -1;
    int64_t count = static_cast<int64_t>(all.size());
    std::copy_n(all.begin(), std::min(count, room), ids);
    return count;
  } catch (const std::exception &) {
    return -1;
  }
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const lm_sentencepiece_training *how) : how_(how) { Next(); }
  bool done() const override { return done_; }
  void Next() override {
    const char *text;
    size_t bytes;
    done_ = !how_->next(how_->user, &text, &bytes);
    if (!done_) value_.assign(text, bytes);
  }
  const std::string &value() const override { return value_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const lm_sentencepiece_training *how_;
  std::string value_;
  bool done_ = false;
};

/* Text is taken as it is (no normalisation, no space in front, no collapsed spaces), and what has
 * no piece is spelled in bytes. */
bool train(const lm_sentencepiece_training *how, char *err) {
  try {
    Sentences sentences(how);
    std::string model;
    auto status = SentencePieceTrainer::Train({{"model_type", how->kind},
                                               {"vocab_size", std::to_string(how->vocabulary)},
                                               {"byte_fallback", "true"},
                                               {"normalization_rule_name", "identity"},
                                               {"add_dummy_prefix", "false"},
                                               {"remove_extra_whitespaces", "false"},
                                               {"allow_whitespace_only_pieces", "true"},
                                               {"max_sentence_length", "1000000"},
                                               {"minloglevel", "2"}},
                                              &sentences, &model);
    if (status.ok()) return how->emit(how->user, model.data(), model.size());
    say(err, reason(status));
  } catch (const std::exception &e) {
    say(err, e.what());
  }
  return false;
}

}  // namespace

const lm_sentencepiece *lm_sentencepiece_table(void) {
  static const lm_sentencepiece table = {load, release, encode, train};
  return &table;
}
