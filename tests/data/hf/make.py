"""Makes the checkpoints of this folder with flash-linear-attention's own model code.

    pip install torch transformers==4.57.6 einops flash-linear-attention==0.5.2 fla-core==0.5.2
    python make.py [FOLDER]

Each is tiny, randomly initialised, and written by save_pretrained(); logits.safetensors beside it
holds token ids and the logits that fla's model gives for them in f32. fla's kernels need a GPU, so
they are replaced here by the same package's CPU references (fla/ops/*/naive.py) and its norms and
convolutions by their definitions; the layers and models themselves are fla's. The folders rill_*
are of examples/python/modeling_rill.py. An argument --read FOLDER instead prints how far the logits
of the checkpoints below FOLDER (as ours.py writes them) are from what fla computes for them.
"""
import json
import sys
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
import triton

warnings.simplefilter("ignore")


class NoDriver:
    """Triton asks for a GPU when a kernel is declared; nothing is launched here."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


triton.runtime.driver.set_active(NoDriver())

import fla.layers.attn as attn  # noqa: E402
import fla.layers.delta_net as delta_net  # noqa: E402
import fla.layers.gated_deltanet as gated_deltanet  # noqa: E402
import fla.layers.gla as gla  # noqa: E402
import fla.layers.linear_attn as linear_attn  # noqa: E402
import fla.layers.mamba2 as mamba2  # noqa: E402
import fla.layers.multiscale_retention as retention  # noqa: E402
import fla.models as models  # noqa: E402
import fla.modules as modules  # noqa: E402
import fla.modules.activations as activations  # noqa: E402
import fla.modules.layernorm_gated as layernorm_gated  # noqa: E402
import fla.modules.mlp as mlp  # noqa: E402
from fla.modules.rotary import RotaryEmbedding  # noqa: E402
from fla.ops.delta_rule.naive import delta_rule_recurrence  # noqa: E402
from fla.ops.gated_delta_rule.naive import naive_recurrent_gated_delta_rule  # noqa: E402
from fla.ops.gla.naive import naive_recurrent_gla  # noqa: E402
from fla.ops.linear_attn.naive import naive_chunk_linear_attn  # noqa: E402
from fla.ops.retention.naive import naive_retention  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "python"))
import modeling_rill  # noqa: E402

# ---- what the kernels compute ----


def rms(x, weight, eps):
    y = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


def l2norm(x):
    return x / torch.sqrt(x.pow(2).sum(-1, keepdim=True) + 1e-6)


def rms_norm(self, x, residual=None, prenorm=False, residual_in_fp32=False):
    x = x if residual is None else x + residual
    y = rms(x, self.weight, self.eps)
    return (y, x) if prenorm else y


def rms_norm_gated(self, x, g, *args, **kwargs):
    return rms(x, self.weight, self.eps) * F.silu(g)


def mamba_norm(self, x, z=None):
    assert not self.norm_before_gate and self.group_size == x.shape[-1]
    return rms(x * F.silu(z), self.weight, self.eps)


def convolve(x, weight, bias, activation):
    """x [B, T, C], weight [C, K]"""
    K = weight.shape[-1]
    y = F.conv1d(F.pad(x.transpose(1, 2), (K - 1, 0)), weight[:, None], bias, groups=x.shape[-1])
    return (F.silu(y) if activation else y).transpose(1, 2)


def short_convolution(self, x, *args, **kwargs):
    return convolve(x, self.weight.squeeze(1), self.bias, self.activation), None


def causal_conv1d(x, weight, bias=None, activation=None, **kwargs):
    return convolve(x, weight, bias, activation), None


def rotary(self, q, k, **kwargs):
    self._update_cos_sin_cache(q.shape[1], device=q.device, dtype=q.dtype)
    cos, sin = self._cos_cached[: q.shape[1], None], self._sin_cached[: q.shape[1], None]

    def turn(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    return turn(q), turn(k)


def gated_delta_rule(q, k, v, g, beta, A_log, dt_bias, allow_neg_eigval, **kwargs):
    groups = v.shape[2] // q.shape[2]
    q, k = (l2norm(x).repeat_interleave(groups, 2) for x in (q, k))
    g = -A_log.exp() * F.softplus(g + dt_bias)
    beta = beta.sigmoid() * (2 if allow_neg_eigval else 1)
    return naive_recurrent_gated_delta_rule(q, k, v, beta, g)


def delta_rule(q, k, v, beta, use_qk_l2norm_in_kernel, **kwargs):
    if use_qk_l2norm_in_kernel:
        q, k = l2norm(q), l2norm(k)
    o, _ = delta_rule_recurrence(*(x.transpose(1, 2) for x in (q, k, v, beta)))
    return o.transpose(1, 2), None


def gla_rule(q, k, v, gk=None, g=None, **kwargs):
    return naive_recurrent_gla(q, k, v, g if gk is None else gk)


def retain(q, k, v, **kwargs):
    return naive_retention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2), None


def linear(q, k, v, normalize, **kwargs):
    B, T, H, D = q.shape
    pad = -T % 64
    q_, k_, v_ = (F.pad(x, (0, 0, 0, 0, 0, pad)) for x in (q, k, v))
    return naive_chunk_linear_attn(q_, k_, v_, normalize=normalize)[:, :T], None


def softmax_attention(q, k, v, causal, window_size):
    groups = q.shape[2] // k.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2)


modules.RMSNorm.forward = rms_norm
modules.FusedRMSNormGated.forward = rms_norm_gated
layernorm_gated.RMSNormGated.forward = mamba_norm
modules.ShortConvolution.forward = short_convolution
RotaryEmbedding.forward = rotary
mlp.swiglu_linear = lambda x, y, weight, bias: F.linear(F.silu(x) * y, weight, bias)
activations.ACT2FN["silu"] = activations.ACT2FN["swish"] = F.silu
gated_deltanet.causal_conv1d = causal_conv1d
gated_deltanet.chunk_gated_delta_rule = gated_delta_rule
gated_deltanet.fused_recurrent_gated_delta_rule = gated_delta_rule
delta_net.chunk_delta_rule = delta_net.fused_recurrent_delta_rule = delta_rule
gla.chunk_gla = gla.fused_recurrent_gla = gla_rule
retention.chunk_retention = retention.fused_recurrent_retention = retain
linear_attn.fused_chunk_linear_attn = linear_attn.chunk_linear_attn = linear
linear_attn.fused_recurrent_linear_attn = linear
attn.flash_attn_func = softmax_attention
mamba2.causal_conv1d_fn = mamba2.causal_conv1d_update = causal_conv1d

# ---- the checkpoints ----

VOCAB, TOKENS = 48, 70
SIZE = dict(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, initializer_range=0.3)
MLP = dict(SIZE, intermediate_size=24)

# Folder: (name of the model, its configuration, how it is written).
CHECKPOINTS = {
    "gated_deltanet": ("GatedDeltaNet", dict(MLP, num_heads=2, head_dim=6), {}),
    "gated_deltanet_variant": (
        "GatedDeltaNet",
        dict(MLP, num_heads=1, num_v_heads=2, head_dim=8, expand_v=1.0, use_short_conv=False,
             allow_neg_eigval=True, use_gate=False, tie_word_embeddings=True, norm_eps=1e-5),
        {}),
    "gated_deltanet_bf16": ("GatedDeltaNet", dict(MLP, num_heads=2, head_dim=6), dict(dtype=torch.bfloat16)),
    "gated_deltanet_f16": ("GatedDeltaNet", dict(MLP, num_heads=2, head_dim=6), dict(dtype=torch.float16)),
    "gated_deltanet_sharded": ("GatedDeltaNet", dict(MLP, num_heads=2, head_dim=6), dict(shard="8KB")),
    "delta_net": ("DeltaNet", dict(MLP, num_heads=2), {}),
    "delta_net_variant": (
        "DeltaNet",
        dict(MLP, num_heads=2, qk_activation="identity", use_gate=True, expand_v=2.0, allow_neg_eigval=True),
        {}),
    "gla": ("GLA", dict(MLP, num_heads=2), {}),
    "gla_variant": ("GLA", dict(MLP, num_heads=2, use_short_conv=True, use_output_gate=False), {}),
    "retnet": ("RetNet", dict(MLP, num_heads=2), {}),
    "mamba2": ("Mamba2", dict(SIZE, head_dim=8, state_size=6, num_hidden_layers=3), {}),
    "mamba2_variant": ("Mamba2", dict(SIZE, head_dim=8, state_size=6, use_conv_bias=False, norm_eps=1e-6), {}),
    "transformer": ("Transformer", dict(MLP, num_heads=4, num_kv_heads=2, rope_theta=500.0), {}),
    "linear_attn": ("LinearAttention", dict(MLP, num_heads=2, feature_map="elu"), {}),
}

# Models of examples/python/modeling_rill.py: the configuration is Rill's.
OWN = dict(vocab=VOCAB, width=16, layers=2, heads=2, key_size=8, value_size=8, hidden=24, mlp=True, tied=False,
           norm_eps=1e-6, decay="token", write="delta", beta=True, residual="fitted", gamma="own", clip="hard",
           clip_at=1.0, output="gated", feature="silu", qk_norm=True, qk_scale=False, rotary=False, conv=0,
           conv_bias=False, value_silu=False, key_groups=2, step_gate=False, beta_max=1.0, decay_rank=16, skip=False,
           normaliser=False, output_norm="rms", gate=True, gate_first=False)
OWN_CHECKPOINTS = {
    "rill_rdn": dict(OWN, model="rdn"),
    "rill_rla_variant": dict(OWN, model="rla", write="add", clip="tanh", clip_at=0.5, residual="stateless", conv=3,
                             conv_bias=True, key_groups=1, rotary=True, tied=True, skip=True, output_norm="group"),
}


def stir(model):
    """Norm weights, biases and the like begin as constants; here they must show when misplaced."""
    for name, p in model.named_parameters():
        if p.dim() == 1 and not name.endswith(("A_log", "dt_bias")):
            p.data += 0.3 * torch.randn_like(p)


def logits(model, ids):
    with torch.no_grad():
        return model(ids, use_cache=False).logits.float().contiguous()


def make(folder, kind, config, ways):
    # With some seeds a first token's q.k is nearly zero; the norm after it then enlarges the rounding
    # of either side to more than the test allows.
    torch.manual_seed(8 + sum(map(ord, folder.name)))
    ways = dict(dtype=torch.float32, shard=None) | ways
    model = getattr(models, kind + "ForCausalLM")(getattr(models, kind + "Config")(**config)).eval()
    stir(model)
    model = model.to(ways["dtype"])
    model.save_pretrained(folder, **(dict(max_shard_size=ways["shard"]) if ways["shard"] else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    ids = torch.randint(VOCAB, (1, TOKENS))
    y = logits(model.float(), ids)
    save_file({"ids": ids.int(), "logits": y}, folder / "logits.safetensors")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{folder.name:24} {size:7} bytes, logits up to {y.abs().max():.2f}")


def make_own(folder, config):
    torch.manual_seed(sum(map(ord, folder.name)))
    model = modeling_rill.RillForCausalLM(config).eval()
    for name, p in model.named_parameters():
        p.data = p.data + 0.3 * torch.randn_like(p)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "rill", "rill": config}, indent=1) + "\n")
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    ids = torch.randint(VOCAB, (1, TOKENS))
    with torch.no_grad():
        save_file({"ids": ids.int(), "logits": model(ids)}, folder / "logits.safetensors")


def read(folder):
    """The checkpoint as fla loads it, and the largest difference of its logits from those beside it."""
    expected = load_file(folder / "logits.safetensors")
    from transformers import AutoModelForCausalLM
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = [k for k in report[problem] if not (model.config.tie_word_embeddings and k == "lm_head.weight")]
        if keys:
            raise SystemExit(f"{folder}: {problem}: {keys}")
    return (logits(model.eval(), expected["ids"].long()) - expected["logits"]).abs().max().item()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        for file in sorted(Path(sys.argv[2]).glob("*/logits.safetensors")):
            print(f"{file.parent.name:24} {read(file.parent):.2e}")
    else:
        here = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
        for name, (kind, config, ways) in CHECKPOINTS.items():
            make(here / name, kind, config, ways)
        for name, config in OWN_CHECKPOINTS.items():
            make_own(here / name, config)
