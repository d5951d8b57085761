"""Rill's language models in plain PyTorch: every model and ablation, from a folder of model_type "rill".

    convert --to hf-rill RUN OUT          (or --to hf, where flash-linear-attention has no such model)

    from modeling_rill import RillForCausalLM
    model = RillForCausalLM.from_pretrained("OUT")
    logits = model(ids)                   # [B, T] -> [B, T, vocab]

A reference to read and to compare with, not a fast implementation: the recurrence is a loop over
tokens, its state in f32. config.json holds the configuration under "rill"; parameters are named as
flash-linear-attention names those of its models, and beside them

    model.layers.N.attn.gamma_proj.weight     the gate of the residual state (RLA, RDN), [heads, width]
    model.layers.N.attn.D                     the weight of v in the output (Mamba-2), [heads]
"""
import json
import math
import struct
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

# ---- the recurrence: ops/recurrence/recurrence.h ----


def clip(u, c):
    bound = c["clip_at"]
    if c["clip"] == "none":
        return u
    return bound * torch.tanh(u / bound) if c["clip"] == "tanh" else u.clamp(-bound, bound)


def recur(c, q, k, v, log_alpha, beta, gamma):
    """q, k [B, T, H, D], v [B, T, H, V]; log_alpha [B, T, H, 1 or D], beta, gamma [B, T, H] -> o."""
    B, T, H, D = q.shape
    S = q.new_zeros(B, H, v.shape[-1], D)
    R = torch.zeros_like(S)
    fitted, residual = c["residual"] == "fitted", c["residual"] != "none"
    delta, gated = c["write"] == "delta", c["output"] == "gated"

    def read(state, x):
        return (state * x[:, :, None]).sum(-1)  # [B, H, V]

    def write(state, key, value, rate):
        """The new value of a state that has decayed already."""
        if delta:
            value = value - read(state, key)
        return state + (rate * value)[..., None] * key[:, :, None]

    out = []
    for t in range(T):
        qt, kt, vt = q[:, t], k[:, t], v[:, t]
        alpha = log_alpha[:, t].exp()[:, :, None]  # [B, H, 1, 1 or D]
        b = beta[:, t, :, None]
        g = b if c["gamma"] == "tied" else gamma[:, t, :, None]
        r = clip(vt - read(S, kt), c)
        before, decayed = S, alpha * S
        S = write(decayed, kt, vt, b)
        if fitted:
            R = write(alpha * R, kt, r, g)
        elif residual:
            R = r[..., None] * kt[:, :, None]
        if not residual:
            out.append(read(S, qt))
        elif gated:
            out.append(read(decayed, qt) + g * read(R, qt))
        else:
            out.append(read(before, qt) + read(R, qt))
    return torch.stack(out, 1)


# ---- layers ----


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        x32 = x.float()
        return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + self.eps)).to(x) * self.weight


class GroupNorm(nn.Module):
    """Mean 0 and variance 1 for each head, then a weight and a bias for each channel."""

    def __init__(self, heads, size, eps):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(heads * size)), nn.Parameter(torch.zeros(heads * size))
        self.eps = eps

    def forward(self, x):
        heads, size = x.shape[-2:]
        return F.layer_norm(x, (size,), eps=self.eps) * self.weight.view(heads, size) + self.bias.view(heads, size)


def linear(inputs, outputs, bias=False):
    return nn.Linear(inputs, outputs, bias=bias)


def rotary(x, base=10000.0):
    """x [B, T, H, D], turned by position in pairs (i, i + D / 2)."""
    T, D = x.shape[1], x.shape[-1]
    angle = torch.outer(torch.arange(T, dtype=torch.float64), base ** (-torch.arange(0, D, 2, dtype=torch.float64) / D))
    cos, sin = angle.cos()[:, None].to(x), angle.sin()[:, None].to(x)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Convolution(nn.Conv1d):
    def __init__(self, channels, width, bias, silu):
        super().__init__(channels, channels, width, groups=channels, bias=bias, padding=width - 1)
        self.silu = silu

    def forward(self, x):
        y = super().forward(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        return F.silu(y) if self.silu else y


class Mixer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        width, heads, groups = c["width"], c["heads"], c["key_groups"]
        keys, values = groups * c["key_size"], heads * c["value_size"]
        self.q_proj, self.k_proj, self.v_proj = linear(width, keys), linear(width, keys), linear(width, values)
        if c["gate"]:
            self.g_proj = linear(width, values)
        if c["conv"] > 0:
            silu = c["feature"] == "silu"
            self.q_conv1d = Convolution(keys, c["conv"], c["conv_bias"], silu)
            self.k_conv1d = Convolution(keys, c["conv"], c["conv_bias"], silu)
            self.v_conv1d = Convolution(values, c["conv"], c["conv_bias"], silu or c["value_silu"])
        if c["decay"] == "token":
            self.a_proj = linear(width, heads)
            self.A_log, self.dt_bias = nn.Parameter(torch.zeros(heads)), nn.Parameter(torch.zeros(heads))
        if c["decay"] == "channel":
            self.gk_proj = nn.Sequential(linear(width, c["decay_rank"]),
                                         linear(c["decay_rank"], heads * c["key_size"], bias=True))
        if c["beta"] and not c["step_gate"]:
            self.b_proj = linear(width, heads)
        plain_sum = c["residual"] == "stateless" and c["output"] == "sum"
        if c["residual"] != "none" and c["gamma"] == "own" and not plain_sum:
            self.gamma_proj = linear(width, heads)
        if c["skip"]:
            self.D = nn.Parameter(torch.ones(heads))
        eps = c["norm_eps"]
        if c["output_norm"] == "group":
            self.o_norm = GroupNorm(heads, c["value_size"], eps)
        elif c["output_norm"] != "none":
            self.o_norm = RMSNorm(values if c["output_norm"] == "all" else c["value_size"], eps)
        self.o_proj = linear(values, width)

    def key(self, x, name):
        c = self.c
        x = getattr(self, name + "_proj")(x)
        if c["conv"] > 0:
            x = getattr(self, name + "_conv1d")(x)
        x = x.unflatten(-1, (c["key_groups"], c["key_size"]))
        if c["feature"] == "elu":
            x = F.elu(x) + 1
        if c["feature"] == "silu" and c["conv"] == 0:
            x = F.silu(x)
        if c["qk_norm"]:
            x = x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + 1e-6)
        if c["rotary"]:
            x = rotary(x)
        return x.repeat_interleave(c["heads"] // c["key_groups"], 2)

    def gates(self, x):
        """log_alpha [B, T, H, 1 or D], beta and gamma [B, T, H]"""
        c, shape = self.c, (*x.shape[:2], self.c["heads"])
        step = None
        log_alpha, beta, gamma = x.new_zeros(*shape, 1), x.new_ones(shape), x.new_ones(shape)
        if c["decay"] == "head":
            decay = torch.log1p(-torch.exp2(-5.0 - torch.arange(c["heads"], dtype=torch.float64)))
            log_alpha = decay.to(x)[:, None].expand(*shape, 1)
        if c["decay"] == "token":
            step = F.softplus(self.a_proj(x).float() + self.dt_bias)
            log_alpha = (-self.A_log.exp() * step)[..., None]
        if c["decay"] == "channel":
            log_alpha = F.logsigmoid(self.gk_proj(x).float()).unflatten(-1, (c["heads"], c["key_size"])) / 16
        if c["step_gate"]:
            beta = step
        elif c["beta"]:
            beta = c["beta_max"] * self.b_proj(x).float().sigmoid()
        if hasattr(self, "gamma_proj"):
            gamma = self.gamma_proj(x).float().sigmoid()
        return log_alpha, beta, gamma

    def forward(self, x):
        c = self.c
        q, k = self.key(x, "q"), self.key(x, "k")
        v = self.v_proj(x)
        if c["conv"] > 0:
            v = self.v_conv1d(v)
        elif c["value_silu"]:
            v = F.silu(v)
        v = v.unflatten(-1, (c["heads"], c["value_size"]))
        if c["qk_scale"]:
            q = q / math.sqrt(c["key_size"])
        ones = torch.ones_like(v[..., :1])
        o = recur(c, q.float(), k.float(), (torch.cat([v, ones], -1) if c["normaliser"] else v).float(), *self.gates(x))
        if c["normaliser"]:
            o = o[..., :-1] / (o[..., -1:] + 1e-6)
        o = o.to(x)
        if c["skip"]:
            o = o + v * self.D[:, None].to(v)
        gate = F.silu(self.g_proj(x)).unflatten(-1, (c["heads"], c["value_size"])) if c["gate"] else None
        if gate is not None and c["gate_first"]:
            o, gate = o * gate, None
        if c["output_norm"] == "all":
            o = self.o_norm(o.flatten(-2)).view_as(o)
        elif c["output_norm"] != "none":
            o = self.o_norm(o)
        if gate is not None:
            o = o * gate
        return self.o_proj(o.flatten(-2))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        size = c["key_size"]
        self.q_proj, self.o_proj = linear(c["width"], c["heads"] * size), linear(c["heads"] * size, c["width"])
        self.k_proj, self.v_proj = (linear(c["width"], c["groups"] * size) for _ in range(2))

    def forward(self, x):
        c = self.c
        q, k, v = (p(x).unflatten(-1, (-1, c["key_size"])) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotary(q, c["rotary_base"]), rotary(k, c["rotary_base"])
        k, v = (y.repeat_interleave(c["heads"] // c["groups"], 2) for y in (k, v))
        o = F.scaled_dot_product_attention(*(y.transpose(1, 2) for y in (q, k, v)), is_causal=True)
        return self.o_proj(o.transpose(1, 2).flatten(-2))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj, self.up_proj = linear(c["width"], c["hidden"]), linear(c["width"], c["hidden"])
        self.down_proj = linear(c["hidden"], c["width"])

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attn_norm = RMSNorm(c["width"], c["norm_eps"])
        self.attn = Mixer(c) if "decay" in c else Attention(c)
        if c["mlp"]:
            self.mlp_norm, self.mlp = RMSNorm(c["width"], c["norm_eps"]), MLP(c)

    def forward(self, x):
        x = x + self.attn(self.attn_norm(x))
        return x + self.mlp(self.mlp_norm(x)) if hasattr(self, "mlp") else x


class RillModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embeddings = nn.Embedding(c["vocab"], c["width"])
        self.layers = nn.ModuleList(Block(c) for _ in range(c["layers"]))
        self.norm = RMSNorm(c["width"], c["norm_eps"])

    def forward(self, ids):
        x = self.embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class RillForCausalLM(nn.Module):
    def __init__(self, config):
        """config: the object "rill" of a config.json."""
        super().__init__()
        self.config = config
        self.model = RillModel(config)
        if not config["tied"]:
            self.lm_head = linear(config["width"], config["vocab"])

    def forward(self, ids):
        """[B, T] -> [B, T, vocab]"""
        x = self.model(ids)
        return F.linear(x, self.model.embeddings.weight if self.config["tied"] else self.lm_head.weight)

    @classmethod
    def from_pretrained(cls, folder):
        """The model of a folder that `convert --to hf-rill` wrote, in f32."""
        config = json.loads((Path(folder) / "config.json").read_text())
        if config.get("model_type") != "rill":
            raise ValueError(f'{folder}: model_type is {config.get("model_type")!r}, not "rill": '
                             "flash-linear-attention loads it, or convert it with --to hf-rill")
        model = cls(config["rill"])
        model.load_state_dict(load_weights(folder))
        return model.eval()


# ---- weights ----

DTYPES = {"F32": torch.float32, "F64": torch.float64, "BF16": torch.bfloat16, "F16": torch.float16}


def load_safetensors(path):
    """The tensors of a file, in f32."""
    raw = bytearray(Path(path).read_bytes())
    (size,) = struct.unpack("<Q", raw[:8])
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            flat = torch.frombuffer(raw[begin:end], dtype=DTYPES[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"]).float()
    return tensors


def load_weights(folder):
    """Those of model.safetensors, or of the files that the index names."""
    folder = Path(folder)
    if (folder / "model.safetensors").exists():
        return load_safetensors(folder / "model.safetensors")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    return {k: x for file in sorted(set(index["weight_map"].values())) for k, x in load_safetensors(folder / file).items()}
