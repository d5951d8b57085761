"""examples/python/rill.py against NumPy: python_test.py MODULE_FOLDER CHECKPOINTS (tests/data/hf)."""
import gc
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, sys.argv[1])
CHECKPOINTS = Path(sys.argv[2])

import numpy as np  # noqa: E402
import rill  # noqa: E402


def operands(dtype, T=37, D=8, V=6, seed=0):
    random = np.random.default_rng(seed)
    q, k = (random.standard_normal((2, T, 3, D)) / D**0.5 for _ in range(2))
    v = random.standard_normal((2, T, 3, V))
    gates = {"log_alpha": -0.2 * random.random((2, T, 3)), "beta": random.random((2, T, 3)),
             "gamma": random.random((2, T, 3))}
    return [x.astype(dtype) for x in (q, k, v)], {n: x.astype(dtype) for n, x in gates.items()}


def rdn(q, k, v, log_alpha, beta, gamma, clip=1.0):
    """Equations of ops/recurrence/recurrence.h, token by token."""
    B, T, H, D = q.shape
    S, R = np.zeros((B, H, v.shape[3], D)), np.zeros((B, H, v.shape[3], D))
    o = np.zeros(v.shape)

    def read(state, x):
        return np.einsum("bhvd,bhd->bhv", state, x)

    for t in range(T):
        a, b, g = (x[:, t, :, None] for x in (np.exp(log_alpha), beta, gamma))
        r = np.clip(v[:, t] - read(S, k[:, t]), -clip, clip)
        before, S = S, a[..., None] * S
        R = a[..., None] * R
        S = S + np.einsum("bhv,bhd->bhvd", b * (v[:, t] - read(S, k[:, t])), k[:, t])
        R = R + np.einsum("bhv,bhd->bhvd", g * (r - read(R, k[:, t])), k[:, t])
        o[:, t] = a * read(before, q[:, t]) + g * read(R, q[:, t])
    return o, S, R


class Recurrence(unittest.TestCase):
    def test_values(self):
        for dtype, bound in ((np.float64, 1e-12), (np.float32, 2e-5)):
            (q, k, v), gates = operands(dtype)
            out = rill.recur("rdn", q, k, v, **gates)
            self.assertEqual(out.o.numpy().dtype, dtype)
            for ours, theirs in zip(out, rdn(q, k, v, **gates)):
                self.assertLess(np.abs(np.asarray(ours) - theirs).max(), bound)

    def test_gradients(self):
        (q, k, v), gates = operands(np.float64, T=9)
        do = np.random.default_rng(1).standard_normal(v.shape)
        out, grads = rill.recur_grad("rdn", q, k, v, do=do, **gates)
        self.assertEqual(sorted(grads), ["beta", "gamma", "k", "log_alpha", "q", "v"])
        every = {"q": q, "k": k, "v": v, **gates}
        for name, x in every.items():
            for index in ((0, 2, 1), (1, 8, 2), (0, 0, 0)):
                at = index if x.ndim == 3 else index + (3,)
                value = x[at]
                x[at] = value + 1e-6
                above = (rdn(**every)[0] * do).sum()
                x[at] = value - 1e-6
                below = (rdn(**every)[0] * do).sum()
                x[at] = value
                self.assertAlmostEqual(grads[name].numpy()[at], (above - below) / 2e-6, delta=1e-6, msg=name)

    def test_states_and_packing(self):
        (q, k, v), gates = operands(np.float64)
        whole = rill.recur("rdn", q, k, v, **gates)
        parts = [(slice(None), slice(0, 20)), (slice(None), slice(20, None))]
        first, second = ({n: x[part] for n, x in {"q": q, "k": k, "v": v, **gates}.items()} for part in parts)
        one = rill.recur("rdn", **first)
        two = rill.recur("rdn", **second, s0=one.s, r0=one.r)
        both = np.concatenate([one.o, two.o], 1)
        self.assertLess(np.abs(both - whole.o.numpy()).max(), 1e-12)
        row = {n: np.ascontiguousarray(x[:1]) for n, x in {"q": q, "k": k, "v": v, **gates}.items()}
        packed = rill.recur("rdn", **row, offsets=[0, 20, 37])
        self.assertEqual(packed.s.shape, (2, 3, 6, 8))
        self.assertLess(np.abs(packed.o.numpy()[0, :20] - one.o.numpy()[0]).max(), 1e-12)

    def test_rules(self):
        self.assertEqual(rill.rules()[:2], ["linear_attention", "retnet"])
        (q, k, v), gates = operands(np.float64)
        named = rill.recur("rdn_tanh", q, k, v, **gates)
        made = rill.recur(rill.rule("rdn", clip="tanh"), q, k, v, **gates)
        np.testing.assert_array_equal(named.o, made.o)
        self.assertIsNone(rill.recur("linear_attention", q, k, v).r)

    def test_memory_is_shared_and_released(self):
        (q, k, v), _ = operands(np.float32)
        count = sys.getrefcount(q)
        out = rill.recur("linear_attention", q, k, v)
        self.assertEqual(sys.getrefcount(q), count)
        a = np.from_dlpack(out.o)
        b = np.asarray(out.o)
        self.assertEqual(a.__array_interface__["data"][0], b.__array_interface__["data"][0])
        expected = b.copy()
        out.o.__dlpack__()  # a capsule that nobody takes
        del out
        gc.collect()
        rill.recur("linear_attention", k, q, v)
        np.testing.assert_array_equal(a, expected)
        np.testing.assert_array_equal(b, expected)

    def test_layouts(self):
        (q, k, v), _ = operands(np.float32)
        expected = rill.recur("linear_attention", q, k, v).o.numpy()
        turned = np.ascontiguousarray(q.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
        frozen = k.copy()
        frozen.flags.writeable = False
        np.testing.assert_array_equal(rill.recur("linear_attention", turned, frozen, v[:, ::-1][:, ::-1]).o, expected)
        with_dlpack = rill.recur("linear_attention", *rill.recur("linear_attention", q, k, v)[:1] * 2, v).o
        self.assertEqual(with_dlpack.shape, v.shape)

    def test_errors(self):
        (q, k, v), gates = operands(np.float32)
        cases = [
            (lambda: rill.recur("rnd", q, k, v), rill.Error, "there is no rule 'rnd'"),
            (lambda: rill.recur("rdn", q, k, v), rill.Error, "log_alpha"),
            (lambda: rill.recur("rdn", q[:, :5], k, v, **gates), rill.Error, "rill_recur|recur"),
            (lambda: rill.recur("rdn", q.astype("c8"), k, v, **gates), TypeError, "q: there is no rill dtype"),
            (lambda: rill.rule("rdn", clip="soft"), rill.Error, "must be one of hard, none, tanh"),
            (lambda: rill.rule("rdn", speed=1), rill.Error, "no such field"),
            (lambda: rill.Context(device="tpu"), ValueError, "tpu"),
            (lambda: rill.Model("/nowhere"), rill.Error, "/nowhere/config.json"),
        ]
        for call, error, message in cases:
            with self.assertRaisesRegex(error, message):
                call()
        rill.recur("rdn", q, k, v, **gates)  # an error leaves nothing behind


class Models(unittest.TestCase):
    def stored(self, name):
        """The tensors of logits.safetensors: a header of JSON, then bytes."""
        import json
        raw = (CHECKPOINTS / name / "logits.safetensors").read_bytes()
        size = int.from_bytes(raw[:8], "little")
        data = {}
        for key, e in json.loads(raw[8:8 + size]).items():
            if key != "__metadata__":
                begin, end = e["data_offsets"]
                dtype = {"F32": np.float32, "I32": np.int32}[e["dtype"]]
                data[key] = np.frombuffer(raw[8 + size + begin:8 + size + end], dtype).reshape(e["shape"])
        return data["ids"], data["logits"]

    def test_logits_and_generation(self):
        for name in ("gated_deltanet", "transformer", "mamba2"):
            ids, expected = self.stored(name)
            model = rill.Model(CHECKPOINTS / name)
            logits = model.logits(ids)
            self.assertLess(np.abs(logits - expected).max(), 1e-4)
            read = model.reader()
            self.assertLess(np.abs(read(ids[:, :50])[0] - expected[0, 49]).max(), 1e-4)
            self.assertLess(np.abs(read(ids[:, 50:])[0] - expected[0, -1]).max(), 1e-4)
            greedy = model.generate(ids, 3, temperature=0)
            self.assertEqual(greedy[0], expected[0, -1].argmax())
            longer = np.concatenate([ids[0], greedy[:2]])
            self.assertEqual(greedy[2], model.logits(longer)[0, -1].argmax())
            drawn = model.generate(ids, 20, temperature=1.5, top_p=0.9, seed=4)
            self.assertEqual(drawn, model.generate(ids, 20, temperature=1.5, top_p=0.9, seed=4))
            self.assertTrue(all(0 <= token < 48 for token in drawn))
            self.assertEqual(model.config["vocab"], 48)

    def test_saving(self):
        model = rill.Model(CHECKPOINTS / "delta_net")
        before = model.parameters()
        with tempfile.TemporaryDirectory() as folder:
            for naming in ("hf", "rill", "fla", "hf-rill"):
                model.save(Path(folder) / naming, naming=naming, shard_bytes=5000)
                after = rill.Model(Path(folder) / naming).parameters()
                self.assertEqual(list(before), list(after))
                for name in before:
                    np.testing.assert_array_equal(before[name], after[name])
            with self.assertRaisesRegex(ValueError, "naming"):
                model.save(folder, naming="torch")
            with self.assertRaisesRegex(rill.Error, "cannot be made"):
                model.save("/proc/nothing/here")

    def test_wrong_ids(self):
        model = rill.Model(CHECKPOINTS / "gla")
        with self.assertRaisesRegex(rill.Error, "48"):
            model.logits([[1, 48]])
        with self.assertRaisesRegex(TypeError, "integers"):
            model.logits([[0.5]])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
