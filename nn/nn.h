/* Everything of nn/: modules, layers, language models, their configurations and files. */
#ifndef RILL_NN_NN_H_
#define RILL_NN_NN_H_

#include "nn/attention.h"
#include "nn/block.h"
#include "nn/checkpoint.h"
#include "nn/config.h"
#include "nn/conv.h"
#include "nn/decode.h"
#include "nn/embedding.h"
#include "nn/init.h"
#include "nn/linear.h"
#include "nn/lm.h"
#include "nn/mixer.h"
#include "nn/mlp.h"
#include "nn/module.h"
#include "nn/norm.h"
#include "nn/parts.h"
#include "nn/safetensors.h"
#include "nn/state.h"

#endif /* RILL_NN_NN_H_ */
