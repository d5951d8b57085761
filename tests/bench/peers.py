"""Times other libraries at the shapes of recurrence_gpu_bench, on the same card.

    python3 peers.py [--quick] [--warm] [gdn] [sgla] [softmax] [products] [model]

Needs PyTorch with CUDA and flash-linear-attention. Without names: gdn, sgla and softmax. `products`:
PyTorch's matrix products, at the shapes of ops_gpu_bench. `model`: a training step of the library's
Gated DeltaNet at the size of the paper's, the counterpart of `step_bench cuda gdn`. The library refuses
its gated backward on Hopper with some versions of Triton, whose compiler got it wrong; that check is
lifted here for the sake of timing, and the script says so. --quick: the first shape alone.

Its kernels are compiled and tuned at their first call, minutes for each. --warm compiles and does no
more (the model with two layers): several such processes can run at once, with the results of tuning
not kept (FLA_CACHE_RESULTS=0), before a process that measures.
"""

import argparse
import statistics
import time

import torch

SHAPES = [(8, 4096, 16), (2, 4096, 16), (1, 32768, 16)]
PRODUCTS = [(32768, 2048, 2048), (32768, 8192, 2048), (32768, 2048, 8192), (8192, 8192, 8192)]
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


def gdn(q, k, v, g, beta):
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    return chunk_gated_delta_rule(q, k, v, g=g, beta=beta)[0]


def sgla(q, k, v, g, beta):
    from fla.ops.simple_gla import chunk_simple_gla

    return chunk_simple_gla(q, k, v, g=g)[0]


def softmax(q, k, v, g, beta):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


KERNELS = {"gdn": ("fla gdn", gdn), "sgla": ("fla sgla", sgla), "softmax": ("torch softmax", softmax)}


def kernel(name, f, quick, warm):
    for shape in SHAPES[: 1 if quick or warm else None]:
        x = operands(*shape)
        try:
            with torch.no_grad():
                forward = median_ms(lambda: f(*x))
            grad = torch.randn_like(f(*x))

            def both():
                torch.autograd.grad(f(*x), x, grad, allow_unused=True)

            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            both_ms = f"{median_ms(both):10.3f}"
            memory = f"{(torch.cuda.max_memory_allocated() - before) / 1e6:10.0f}"
        except Exception as error:  # a refusal is a result, too
            both_ms, memory = f"  refused: {str(error).splitlines()[0][:90]}", ""
        text = "x".join(map(str, shape))
        print(f"{name:<18} {text:<14} {forward:10.3f} {both_ms} {memory}", flush=True)


def products():
    print(f"{'torch product':<18} {'M x N x K':<20} {'ms':>8} {'TFLOP/s':>9}")
    for m, n, k in PRODUCTS:
        x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(n, k, device="cuda", dtype=torch.bfloat16)
        y = torch.randn(m, n, device="cuda", dtype=torch.bfloat16)
        for name, f in (("x w^T", lambda: x @ w.T), ("dy w", lambda: y @ w), ("dy^T x", lambda: y.T @ x)):
            ms = median_ms(f)
            print(f"{name:<18} {f'{m} x {n} x {k}':<20} {ms:8.3f} {2e-9 * m * n * k / ms:9.0f}", flush=True)


def model(layers):
    from fla.models import GatedDeltaNetConfig, GatedDeltaNetForCausalLM

    config = GatedDeltaNetConfig(
        hidden_size=2048, num_hidden_layers=layers, num_heads=16, head_dim=128, expand_v=1,
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[*KERNELS, "products", "model", []])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--warm", action="store_true")
    args = parser.parse_args()
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    lift_check()
    names = args.names or list(KERNELS)
    if any(name in KERNELS for name in names):
        print(f"{'library':<18} {'B x T x H':<14} {'fwd ms':>10} {'fwd+bwd ms':>10} {'extra MB':>10}")
    for name in names:
        if name in KERNELS:
            kernel(*KERNELS[name], args.quick, args.warm)
    if "products" in names:
        products()
    if "model" in names:
        model(2 if args.warm else 16)


if __name__ == "__main__":
    main()
