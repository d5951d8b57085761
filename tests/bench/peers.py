"""Times other libraries at the shapes of recurrence_gpu_bench, on the same card.

    python3 peers.py [model] [quick]

Needs PyTorch with CUDA and flash-linear-attention. `model`: also a training step of its Gated DeltaNet
at the size of the paper's, the counterpart of `step_bench cuda gdn`. The library refuses its gated
backward on Hopper with some versions of Triton, whose compiler got it wrong; that check is lifted here
for the sake of timing, and the script says so. `quick`: the first shape alone.
"""

import statistics
import sys
import time

import torch

SHAPES = [(8, 4096, 16), (2, 4096, 16), (1, 32768, 16)]
D = 128


def median_ms(f, seconds=0.5):
    for _ in range(3):
        f()
    torch.cuda.synchronize()
    times, start = [], time.time()
    while len(times) < 5 or (time.time() - start < seconds and len(times) < 200):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        f()
        b.record()
        torch.cuda.synchronize()
        times.append(a.elapsed_time(b))
    return statistics.median(times)


def lift_check():
    import fla.ops.common.chunk_o as chunk_o

    if not getattr(chunk_o, "TRITON_ABOVE_3_7_1", True):
        chunk_o.TRITON_ABOVE_3_7_1 = True
        print("note: flash-linear-attention's check of the Triton version was lifted")


def operands(B, T, H):
    def unit():
        x = torch.randn(B, T, H, D, device="cuda", dtype=torch.bfloat16)
        return torch.nn.functional.normalize(x.float(), dim=-1).bfloat16().requires_grad_()

    v = torch.randn(B, T, H, D, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    g = (-0.2 * torch.rand(B, T, H, device="cuda")).requires_grad_()
    beta = torch.rand(B, T, H, device="cuda").requires_grad_()
    return unit(), unit(), v, g, beta


def kernels():
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule
    from fla.ops.simple_gla import chunk_simple_gla

    def sgla(q, k, v, g, beta):
        return chunk_simple_gla(q, k, v, g=g)[0]

    def gdn(q, k, v, g, beta):
        return chunk_gated_delta_rule(q, k, v, g=g, beta=beta)[0]

    def softmax(q, k, v, g, beta):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    print(f"{'library':<18} {'B x T x H':<14} {'fwd ms':>10} {'fwd+bwd ms':>10}")
    for name, f in (("fla gdn", gdn), ("fla sgla", sgla), ("torch softmax", softmax)):
        for shape in SHAPES[: 1 if "quick" in sys.argv else None]:
            x = operands(*shape)
            try:
                with torch.no_grad():
                    forward = median_ms(lambda: f(*x))
                grad = torch.randn_like(f(*x))

                def both():
                    f(*x).backward(grad)

                both_ms = f"{median_ms(both):10.3f}"
            except Exception as error:  # a refusal is a result, too
                both_ms = f"  refused: {str(error).splitlines()[0][:90]}"
            text = "x".join(map(str, shape))
            print(f"{name:<18} {text:<14} {forward:10.3f} {both_ms}", flush=True)


def model():
    from fla.models import GatedDeltaNetConfig, GatedDeltaNetForCausalLM

    config = GatedDeltaNetConfig(
        hidden_size=2048, num_hidden_layers=16, num_heads=16, head_dim=128, expand_v=1,
        use_gate=False, use_short_conv=False, intermediate_size=8192, vocab_size=99520,
        fuse_cross_entropy=True, tie_word_embeddings=False)
    net = GatedDeltaNetForCausalLM(config).cuda()
    adam = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(0, 99520, (8, 4096), device="cuda")

    def step():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = net(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)

    ms = median_ms(step, 5)
    count = sum(p.numel() for p in net.parameters())
    print(f"fla GDN model, {count / 1e9:.3f}B, 8 x 4096: {ms:.1f} ms a step, {8 * 4096e3 / ms:.0f} tokens/s, "
          f"peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB", flush=True)


if __name__ == "__main__":
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    lift_check()
    if "model" in sys.argv:
        model()
    kernels()
