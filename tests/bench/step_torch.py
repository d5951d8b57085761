"""A training step of the same model in PyTorch, for comparison with step_bench (which runs this script when it is told to).

    python3 tests/bench/step_torch.py --model rdn --layers 4 --width 256 --heads 4 --seq 256 --batch 8 --threads 2

Prints one line: milliseconds a step (median) and tokens a second. The model is the library's default: pre-norm blocks,
SwiGLU, untied byte embedding, AdamW; f32. The linear-attention side is chunked (matrix products over chunks of 64, no
token loop): the two triangular systems of RDN are solved by torch.linalg.solve_triangular, batched over heads.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

CHUNK = 64


def residual_delta(q, k, v, g, beta, gamma, clip=1.0):
    """q, k, v [N, T, d] (N = batch x heads), g = log alpha, beta, gamma [N, T]; T a multiple of CHUNK."""
    N, T, d = q.shape
    n = T // CHUNK
    q, k, v = (x.view(N, n, CHUNK, -1) for x in (q, k, v))
    g, beta, gamma = (x.view(N, n, CHUNK) for x in (g, beta, gamma))
    G = g.cumsum(-1)
    Gm = G - g
    low = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=q.device).tril(-1)
    lowd = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=q.device).tril()
    Dm = torch.exp((Gm[..., :, None] - G[..., None, :]).masked_fill(~low, float("-inf")))
    D = torch.exp((G[..., :, None] - G[..., None, :]).masked_fill(~lowd, float("-inf")))
    Np = (k @ k.transpose(-1, -2)) * Dm
    att = (q @ k.transpose(-1, -2)) * D
    alpha = g.exp()[..., None]
    a, am, tail = G.exp()[..., None], Gm.exp()[..., None], (G[..., -1:] - G).exp()[..., None]
    last = G[..., -1].exp()[..., None, None]
    eye = torch.eye(CHUNK, device=q.device, dtype=q.dtype)
    # e = v - alpha z and z = am P + Np (beta e):  (I + alpha Np beta) e = v - a P
    solve_s = eye + alpha * Np * beta[..., None, :]
    solve_r = eye + alpha * Np * gamma[..., None, :]
    strict = att.masked_fill(~low, 0)
    S = q.new_zeros(N, d, v.shape[-1])
    R = q.new_zeros(N, d, v.shape[-1])
    out = []
    for i in range(n):
        K, Q, V = k[:, i], q[:, i], v[:, i]
        b, c = beta[:, i, :, None], gamma[:, i, :, None]
        P = K @ S
        E = torch.linalg.solve_triangular(solve_s[:, i], V - a[:, i] * P, upper=False, unitriangular=True)
        Z = am[:, i] * P + Np[:, i] @ (b * E)
        r = torch.clamp(V - Z, -clip, clip)
        Fr = torch.linalg.solve_triangular(solve_r[:, i], r - a[:, i] * (K @ R), upper=False, unitriangular=True)
        o = a[:, i] * (Q @ S) + strict[:, i] @ (b * E)
        o = o + c * (a[:, i] * (Q @ R) + att[:, i] @ (c * Fr))
        out.append(o)
        Kt = (tail[:, i] * K).transpose(-1, -2)
        S = last[:, i] * S + Kt @ (b * E)
        R = last[:, i] * R + Kt @ (c * Fr)
    return torch.stack(out, 1).reshape(N, T, -1)


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class RdnMixer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.q, self.k, self.v, self.gate, self.o = (nn.Linear(width, width, bias=False) for _ in range(5))
        self.alpha, self.beta, self.gamma = (nn.Linear(width, heads, bias=False) for _ in range(3))
        self.log_a, self.b = nn.Parameter(torch.zeros(heads)), nn.Parameter(torch.zeros(heads))
        self.norm = Norm(self.size)

    def forward(self, x):
        B, T, W = x.shape
        split = lambda y: y.view(B, T, self.heads, -1).transpose(1, 2).reshape(B * self.heads, T, -1)
        gate = lambda y: y.transpose(1, 2).reshape(B * self.heads, T)
        unit = lambda y: y * torch.rsqrt(y.square().sum(-1, keepdim=True) + 1e-6)
        q, k, v = unit(F.silu(split(self.q(x)))), unit(F.silu(split(self.k(x)))), split(self.v(x))
        g = -self.log_a.exp() * F.softplus(self.alpha(x) + self.b)
        o = residual_delta(q, k, v, gate(g), gate(torch.sigmoid(self.beta(x))), gate(torch.sigmoid(self.gamma(x))))
        o = o.view(B, self.heads, T, -1).transpose(1, 2)
        o = self.norm(o).reshape(B, T, W) * F.silu(self.gate(x))
        return self.o(o)


class AttentionMixer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.register_buffer("turn", 10000.0 ** (-torch.arange(0, self.size, 2) / self.size))

    def rotate(self, x):
        angle = torch.arange(x.shape[2])[:, None] * self.turn
        a, b = x.chunk(2, -1)
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    def forward(self, x):
        B, T, W = x.shape
        split = lambda y: y.view(B, T, self.heads, -1).transpose(1, 2)
        q, k, v = self.rotate(split(self.q(x))), self.rotate(split(self.k(x))), split(self.v(x))
        if hasattr(F, "scaled_dot_product_attention"):
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            w = q @ k.transpose(-1, -2) / self.size**0.5
            hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
            o = w.masked_fill(hidden, float("-inf")).softmax(-1) @ v
        return self.o(o.transpose(1, 2).reshape(B, T, W))


class Block(nn.Module):
    def __init__(self, mixer, width, hidden):
        super().__init__()
        self.n1, self.n2, self.mixer = Norm(width), Norm(width), mixer
        self.up, self.gate = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        x = x + self.mixer(self.n1(x))
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self, a):
        super().__init__()
        mixer = {"rdn": RdnMixer, "transformer": AttentionMixer}[a.model]
        self.embed = nn.Embedding(a.vocab, a.width)
        self.blocks = nn.ModuleList(Block(mixer(a.width, a.heads), a.width, a.hidden) for _ in range(a.layers))
        self.norm, self.head = Norm(a.width), nn.Linear(a.width, a.vocab, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", choices=["rdn", "transformer"], default="rdn")
    for name, value in [("layers", 4), ("width", 256), ("heads", 4), ("hidden", 704), ("vocab", 256), ("seq", 256),
                        ("batch", 8), ("threads", 2), ("steps", 12)]:
        p.add_argument("--" + name, type=int, default=value)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    model = Model(a)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    ids = torch.randint(0, a.vocab, (a.batch, a.seq + 1))
    times = []
    for step in range(a.steps):
        start = time.perf_counter()
        loss = F.cross_entropy(model(ids[:, :-1]).reshape(-1, a.vocab), ids[:, 1:].reshape(-1))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if step >= 2:
            times.append(time.perf_counter() - start)
    median = statistics.median(times)
    count = sum(x.numel() for x in model.parameters())
    print(f"torch {torch.__version__} {a.model} {count} parameters: {1e3 * median:.1f} ms a step, "
          f"{a.batch * a.seq / median:.0f} tokens/s")


if __name__ == "__main__":
    main()
