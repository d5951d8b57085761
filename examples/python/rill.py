"""Rill from Python: the recurrence family and the language models, on NumPy arrays and DLPack tensors.

    import numpy as np, rill
    q, k, v = (np.random.randn(1, 128, 4, 64).astype("f") for _ in range(3))     # [B, T, H, D]
    gates = dict(log_alpha=-np.random.rand(1, 128, 4).astype("f"), beta=..., gamma=...)
    out = rill.recur("rdn", q, k, v, **gates)               # out.o, out.s, out.r
    out, grads = rill.recur_grad("rdn", q, k, v, do=..., **gates)                # grads["q"], ...

    model = rill.Model("run")        # a folder of pretrain, or of flash-linear-attention's models
    model.logits([[72, 101, 108]])   # [1, 3, vocab]
    bytes(model.generate(b"The ", 100, temperature=0.8))

A thin layer over the C API in librill.so (`bazel build //:librill.so`), which is looked for beside
this file, in the folders lib above it, where RILL_LIBRARY says, and where the system's loader looks. Arguments are NumPy
arrays or anything that has __dlpack__ on the CPU (PyTorch, JAX); the memory of contiguous ones is used
as it is. Results are rill.Array: NumPy takes them without a copy (np.asarray), and so does every
reader of DLPack (torch.from_dlpack). What the library refuses raises rill.Error with its message.

One context serves a thread; nothing here is to be called from two threads at once.
"""
import ctypes
import ctypes.util
import json
import os
from collections import namedtuple
from ctypes import POINTER, byref, c_bool, c_char_p, c_double, c_int, c_int64, c_uint64, c_void_p
from pathlib import Path

import numpy as np

__all__ = ["Array", "Context", "Error", "Model", "Recur", "recur", "recur_grad", "rule", "rules"]


class Error(RuntimeError):
    """What the library says is wrong."""


# ---- the C API: structs as the headers lay them out, functions as they declare them ----

MAX_RANK = 8
F32, F64, BF16, I32, I64, U8, BOOL = range(7)  # rill_dtype
NUMPY = {F32: "<f4", F64: "<f8", I32: "<i4", I64: "<i8", U8: "|u1", BOOL: "|b1"}
DTYPE = {np.dtype(name): dtype for dtype, name in NUMPY.items()}


class _Shape(ctypes.Structure):  # rill_shape
    _fields_ = [("rank", c_int), ("size", c_int64 * MAX_RANK)]


class _View(ctypes.Structure):  # rill_array
    _fields_ = [("data", c_void_p), ("dtype", c_int), ("rank", c_int), ("size", c_int64 * MAX_RANK),
                ("stride", c_int64 * MAX_RANK)]


class _ContextOpts(ctypes.Structure):  # rill_context_opts
    _fields_ = [("seed", c_uint64), ("on_error", c_int), ("device", c_int), ("threads", c_int),
                ("allocator", c_void_p), ("files", c_void_p), ("cuda", c_void_p)]


class _Rule(ctypes.Structure):  # rill_rule
    _fields_ = [("name", c_char_p), ("decay", c_int), ("write", c_int), ("beta", c_bool),
                ("residual", c_int), ("gamma", c_int), ("clip", c_int), ("output", c_int)]


class _RecurOpts(ctypes.Structure):  # rill_recur_opts
    _fields_ = [("log_alpha", c_void_p), ("beta", c_void_p), ("gamma", c_void_p), ("s0", c_void_p),
                ("r0", c_void_p), ("clip", c_double), ("offsets", POINTER(c_int64)),
                ("sequences", c_int64), ("chunk", c_int), ("impl", c_int)]


class _RecurOut(ctypes.Structure):  # rill_recur_out
    _fields_ = [("o", c_void_p), ("s", c_void_p), ("r", c_void_p)]


class _Parameter(ctypes.Structure):  # rill_parameter
    _fields_ = [("name", c_char_p), ("value", c_void_p), ("no_decay", c_bool)]


class _Parameters(ctypes.Structure):  # rill_parameters
    _fields_ = [("ctx", c_void_p), ("count", c_int64), ("at", POINTER(_Parameter))]


class _SaveOpts(ctypes.Structure):  # rill_lm_save_opts
    _fields_ = [("naming", c_int), ("bf16", c_bool), ("shard_bytes", c_int64)]


_NAMING = {"rill": 0, "hf": 1, "fla": 2, "hf-rill": 3}
_CONTINUE, _CPU, _CUDA = 1, 0, 1
_RULE_WORDS = {
    "decay": ["none", "head", "token", "channel"],
    "write": ["add", "delta"],
    "residual": ["none", "stateless", "fitted"],
    "gamma": ["own", "tied"],
    "clip": ["hard", "none", "tanh"],
    "output": ["gated", "sum"],
}
_p = c_void_p
_FUNCTIONS = {  # name: (result, arguments)
    "rill_context_new": (_p, [_ContextOpts]),
    "rill_context_free": (c_int, [_p]),
    "rill_context_device_name": (c_char_p, [_p]),
    "rill_error": (c_char_p, [_p]),
    "rill_error_clear": (None, [_p]),
    "rill_scope_open": (_p, [_p]),
    "rill_scope_open_no_grad": (_p, [_p]),
    "rill_scope_close": (None, [_p]),
    "rill_keep": (_p, [_p]),
    "rill_drop": (None, [_p]),
    "rill_from": (_p, [_p, c_int, _Shape, _p]),
    "rill_from_dlpack": (_p, [_p, _p]),
    "rill_to_dlpack": (_p, [_p]),
    "rill_to_device": (_p, [_p, c_int]),
    "rill_contiguous": (_p, [_p]),
    "rill_cast": (_p, [_p, c_int]),
    "rill_detach": (_p, [_p]),
    "rill_array_of": (_View, [_p]),
    "rill_require_grad": (_p, [_p]),
    "rill_grad": (_p, [_p]),
    "rill_backward_from": (None, [c_int, POINTER(_p), POINTER(_p)]),
    "rill_rule_find": (POINTER(_Rule), [c_char_p]),
    "rill_recur": (_RecurOut, [POINTER(_Rule), _p, _p, _p, _RecurOpts]),
    "rill_lm_load": (_p, [_p, c_char_p, c_int]),
    "rill_lm_save": (c_bool, [_p, c_char_p, _SaveOpts]),
    "rill_lm_apply": (_p, [_p, _p]),
    "rill_lm_next": (_p, [_p, _p, _p]),
    "rill_lm_config_print": (_p, [_p, _p, _p]),
    "rill_params": (_Parameters, [_p]),
    "rill_free": (None, [_p, _p]),
    "rill_state_new": (_p, [_p]),
    "rill_state_free": (None, [_p]),
}


def _load():
    here = Path(__file__).resolve().parent
    places = [here / "librill.so", *(up / "lib" / "librill.so" for up in here.parents)]
    given = os.environ.get("RILL_LIBRARY")
    found = given or next((str(p) for p in places if p.exists()), None) or ctypes.util.find_library("rill")
    if not found:
        raise ImportError("librill.so was not found: set RILL_LIBRARY to its path "
                          "(`bazel build //:librill.so` makes it)")
    library = ctypes.CDLL(found)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_lib = _load()
# DLPack travels in capsules. Who takes one renames it; one that nobody took gives its tensor back.
_python = ctypes.PyDLL(None)
_capsule_pointer = _python.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = _p, [_p, c_char_p]
_capsule_name = _python.PyCapsule_SetName
_capsule_name.restype, _capsule_name.argtypes = c_int, [_p, c_char_p]
_capsule_valid = _python.PyCapsule_IsValid
_capsule_valid.restype, _capsule_valid.argtypes = c_int, [_p, c_char_p]
_CAPSULE_END = ctypes.PYFUNCTYPE(None, _p)
_capsule_new = _python.PyCapsule_New
_capsule_new.restype, _capsule_new.argtypes = ctypes.py_object, [_p, c_char_p, _CAPSULE_END]
_NEW, _USED = (ctypes.cast(ctypes.create_string_buffer(text), c_char_p)  # capsules keep the pointer
               for text in (b"dltensor", b"used_dltensor"))


class _Managed(ctypes.Structure):  # rill_dl_managed, as far as it is needed here
    _fields_ = [("tensor", ctypes.c_byte * 48), ("manager", _p), ("deleter", ctypes.CFUNCTYPE(None, _p))]


@_CAPSULE_END
def _end_capsule(capsule):
    if _capsule_valid(capsule, _NEW):
        managed = _capsule_pointer(capsule, _NEW)
        _Managed.from_address(managed).deleter(managed)


# ---- contexts and arrays ----


class Context:
    """A device with its errors and memory. device: "cpu" or "cuda"; threads: 0 = all cores."""

    def __init__(self, device="cpu", threads=0, seed=0):
        if device not in ("cpu", "cuda"):
            raise ValueError(f'device must be "cpu" or "cuda", not {device!r}')
        opts = _ContextOpts(seed=seed, on_error=_CONTINUE, threads=threads,
                            device=_CUDA if device == "cuda" else _CPU)
        self._ptr = _lib.rill_context_new(opts)
        if not self._ptr:
            raise MemoryError("no memory for a context")
        self._host = device == "cpu"
        self._check()

    def __del__(self, free=_lib.rill_context_free):
        if getattr(self, "_ptr", None):
            free(self._ptr)

    def __repr__(self):
        return f"rill.Context({_lib.rill_context_device_name(self._ptr).decode()})"

    def _check(self):
        message = _lib.rill_error(self._ptr)
        if message:
            message = message.decode(errors="replace")
            _lib.rill_error_clear(self._ptr)
            raise Error(message)

    def _tensor(self, x, name):
        """x as a tensor of the innermost scope."""
        if isinstance(x, Array) and x._context is self:
            return _lib.rill_detach(x._ptr)
        if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__") and self._host:
            return self._take(x.__dlpack__())
        x = np.asarray(x)
        if x.dtype not in DTYPE:
            raise TypeError(f"{name}: there is no rill dtype for {x.dtype}")
        if x.ndim > MAX_RANK:
            raise TypeError(f"{name}: {x.ndim} axes; the most is {MAX_RANK}")
        # NumPy does not export read-only memory; what the library refuses to share is copied.
        if self._host and x.flags.c_contiguous and x.flags.writeable and x.flags.aligned and x.size:
            return self._take(x.__dlpack__())
        x = np.ascontiguousarray(x).reshape(x.shape)
        shape = _Shape(x.ndim, (c_int64 * MAX_RANK)(*x.shape))
        return self._made(_lib.rill_from(self._ptr, DTYPE[x.dtype], shape, x.ctypes.data))

    def _take(self, capsule):
        managed = _capsule_pointer(id(capsule), _NEW)
        tensor = self._made(_lib.rill_from_dlpack(self._ptr, managed))
        _capsule_name(id(capsule), _USED)  # from now on the tensor gives the memory back
        return tensor

    def _made(self, tensor):
        self._check()
        return tensor

    def _array(self, tensor):
        """A result that outlives the scope, in host memory."""
        self._check()
        if not tensor:
            return None
        tensor = _lib.rill_contiguous(_lib.rill_to_device(_lib.rill_detach(tensor), _CPU))
        self._check()
        return Array(self, _lib.rill_keep(tensor))


class _scope:
    """The tensors made inside are released at its end."""

    def __init__(self, context, grad=False):
        self.context, self.open = context, _lib.rill_scope_open if grad else _lib.rill_scope_open_no_grad

    def __enter__(self):
        self.scope = self.open(self.context._ptr)
        self.context._check()

    def __exit__(self, *error):
        _lib.rill_scope_close(self.scope)


_default = None


def default_context():
    """The context that functions use which are given none: the CPU, all cores."""
    global _default
    if _default is None:
        _default = Context()
    return _default


class Array:
    """A result: np.asarray(x), x.numpy() and torch.from_dlpack(x) share its memory."""

    def __init__(self, context, ptr):
        self._context, self._ptr = context, ptr
        view = _lib.rill_array_of(ptr)
        self.shape, self._dtype = tuple(view.size[: view.rank]), view.dtype
        if self._dtype in NUMPY:
            self.__array_interface__ = {
                "version": 3, "shape": self.shape, "typestr": NUMPY[self._dtype],
                "data": (view.data or 0, False), "strides": None}

    def __del__(self, drop=_lib.rill_drop):
        drop(self._ptr)

    @property
    def dtype(self):
        return "bfloat16" if self._dtype == BF16 else np.dtype(NUMPY[self._dtype]).name

    def numpy(self):
        if self._dtype not in NUMPY:
            raise TypeError("NumPy has no bfloat16: use x.float(), or DLPack")
        if 0 in self.shape:
            return np.empty(self.shape, NUMPY[self._dtype])
        return np.asarray(self)

    def float(self):
        """The same in f32."""
        with _scope(self._context):
            return self._context._array(_lib.rill_cast(self._ptr, F32))

    def __dlpack__(self, stream=None, **_):
        managed = _lib.rill_to_dlpack(self._ptr)
        self._context._check()
        _alive.add(self._context)  # the reader's memory lives as long as the context
        return _capsule_new(managed, _NEW, _end_capsule)

    def __dlpack_device__(self):
        return (1, 0)

    def __repr__(self):
        return f"rill.Array({self.dtype}, {list(self.shape)})"


_alive = set()

# ---- the recurrence family ----

Recur = namedtuple("Recur", "o s r")
Recur.__doc__ = "o [B, T, H, V], the final states s and r [N, H, V, D]; r is None without a fitted residual."
_OPERANDS = ("q", "k", "v", "log_alpha", "beta", "gamma", "s0", "r0")


def rules():
    """The names of all rules: those of the models, then the paper's ablations."""
    names, table = [], (POINTER(_Rule) * 256).in_dll(_lib, "rill_rules")
    for entry in table:
        if not entry:
            return names
        names.append(entry.contents.name.decode())


def rule(name, **changes):
    """A named rule with changed fields: rule("rdn", residual="stateless", clip="none")."""
    found = _lib.rill_rule_find(str(name).encode())
    if not found:
        raise Error(f"there is no rule {name!r}; there are {', '.join(rules())}")
    made = _Rule.from_buffer_copy(found.contents)
    for key, value in changes.items():
        if key == "beta":
            made.beta = bool(value)
        elif value in _RULE_WORDS.get(key, ()):
            setattr(made, key, _RULE_WORDS[key].index(value))
        else:
            raise Error(f"{key}={value!r}: " + (f"must be one of {', '.join(_RULE_WORDS[key])}"
                                                if key in _RULE_WORDS else "rules have no such field"))
    return made


def _apply(context, which, operands, grad, clip, offsets, chunk):
    which = which if isinstance(which, _Rule) else rule(which)
    tensors = {n: context._tensor(x, n) for n, x in operands.items() if x is not None}
    if grad:
        for tensor in tensors.values():
            _lib.rill_require_grad(tensor)
        context._check()
    opts = _RecurOpts(clip=clip, chunk=chunk, **{n: tensors.get(n) for n in _OPERANDS[3:]})
    if offsets is not None:
        opts.offsets, opts.sequences = (c_int64 * len(offsets))(*map(int, offsets)), len(offsets) - 1
    out = _lib.rill_recur(byref(which), tensors["q"], tensors["k"], tensors["v"], opts)
    context._check()
    return tensors, out


def recur(which, q, k, v, log_alpha=None, beta=None, gamma=None, s0=None, r0=None, *, clip=0.0,
          offsets=None, chunk=0, context=None):
    """Runs a rule over whole sequences: q, k [B, T, H, D], v [B, T, H, V], gates [B, T, H].

    The operands, shapes and refusals are those of rill_recur (ops/recurrence/recurrence.h); clip 0
    is 1, offsets packs sequences of lengths offsets[i + 1] - offsets[i] into a batch of 1.
    """
    context = context or default_context()
    operands = dict(zip(_OPERANDS, (q, k, v, log_alpha, beta, gamma, s0, r0)))
    with _scope(context):
        _, out = _apply(context, which, operands, False, clip, offsets, chunk)
        return Recur(*(context._array(x) for x in (out.o, out.s, out.r)))


def recur_grad(which, q, k, v, log_alpha=None, beta=None, gamma=None, s0=None, r0=None, *, do=None,
               ds=None, dr=None, clip=0.0, offsets=None, chunk=0, context=None):
    """The same and the gradients of <o, do> + <s, ds> + <r, dr>: (Recur, {"q": ..., "beta": ...}).

    A gradient that is not given is zero; without any, do is all ones.
    """
    context = context or default_context()
    operands = dict(zip(_OPERANDS, (q, k, v, log_alpha, beta, gamma, s0, r0)))
    with _scope(context, grad=True):
        tensors, out = _apply(context, which, operands, True, clip, offsets, chunk)
        given = [(x, context._tensor(g, n)) for x, g, n in
                 ((out.o, do, "do"), (out.s, ds, "ds"), (out.r, dr, "dr")) if x and g is not None]
        given = given or [(out.o, None)]
        array = _p * len(given)
        _lib.rill_backward_from(len(given), array(*(x for x, _ in given)), array(*(g for _, g in given)))
        context._check()
        grads = {n: context._array(_lib.rill_grad(x)) for n, x in tensors.items()}
        return Recur(*(context._array(x) for x in (out.o, out.s, out.r))), grads


# ---- language models ----


class Model:
    """The language model of a folder: of pretrain's runs and checkpoints, or of Hugging Face's."""

    def __init__(self, folder, context=None):
        self.context = context or Context()
        folder = Path(folder)
        if not (folder / "config.json").exists() and (folder / "latest").exists():
            folder = folder / (folder / "latest").read_text().strip()
        self._ptr = _lib.rill_lm_load(self.context._ptr, os.fsencode(folder), F32)
        self.context._check()
        # struct rill_lm begins with its module, then its configuration.
        self._module = ctypes.cast(self._ptr, POINTER(_p))[0]
        text = _lib.rill_lm_config_print(self.context._ptr, self._ptr + ctypes.sizeof(_p), None)
        self.context._check()
        self.config = json.loads(ctypes.string_at(text))
        _lib.rill_free(self.context._ptr, text)

    def __repr__(self):
        return f"rill.Model({self.config['model']}, {self.config['layers']} layers of width {self.config['width']})"

    def parameters(self):
        """Their paths and values; the arrays share the model's memory (on the CPU)."""
        params = _lib.rill_params(self._module)
        with _scope(self.context):
            return {params.at[i].name.decode(): self.context._array(params.at[i].value)
                    for i in range(params.count)}

    def _ids(self, ids):
        ids = np.frombuffer(ids, np.uint8) if isinstance(ids, (bytes, bytearray)) else np.asarray(ids)
        if not np.issubdtype(ids.dtype, np.integer):
            raise TypeError(f"token ids must be integers, not {ids.dtype}")
        return self.context._tensor(np.ascontiguousarray(np.atleast_2d(ids), np.int32), "ids")

    def logits(self, ids):
        """ids [B, T] or [T] (or bytes) -> f32 [B, T, vocab]"""
        with _scope(self.context):
            return self.context._array(_lib.rill_lm_apply(self._ptr, self._ids(ids))).numpy()

    def reader(self):
        """Reads a text piece by piece: reader(ids) -> logits [B, vocab] of what comes next."""
        return Reader(self)

    def generate(self, prompt, count, temperature=1.0, top_p=1.0, seed=0):
        """Up to `count` tokens that continue the prompt (ids or bytes); temperature 0 is greedy."""
        random, read, tokens = np.random.default_rng(seed), self.reader(), []
        logits = read(prompt)[0] if count > 0 else None
        for i in range(count):
            tokens.append(_draw(logits, temperature, top_p, random))
            if i + 1 < count:
                logits = read([tokens[-1]])[0]
        return tokens

    def save(self, folder, naming="hf", bf16=False, shard_bytes=0):
        """Writes the folder as `convert --to NAMING` does."""
        if naming not in _NAMING:
            raise ValueError(f"naming must be one of {', '.join(_NAMING)}, not {naming!r}")
        _lib.rill_lm_save(self._ptr, os.fsencode(folder), _SaveOpts(_NAMING[naming], bf16, shard_bytes))
        self.context._check()


class Reader:
    """What a model remembers of what it has read; its size does not grow for recurrent models."""

    def __init__(self, model):
        self.model = model
        self._ptr = _lib.rill_state_new(model.context._ptr)
        model.context._check()

    def __del__(self, free=_lib.rill_state_free):
        free(getattr(self, "_ptr", None))

    def __call__(self, ids):
        context = self.model.context
        with _scope(context):
            return context._array(_lib.rill_lm_next(self.model._ptr, self.model._ids(ids), self._ptr)).numpy()


def _draw(logits, temperature, top_p, random):
    if temperature == 0:
        return int(logits.argmax())
    p = np.exp((logits - logits.max()).astype(np.float64) / temperature)
    order = np.argsort(-p, kind="stable")
    total = np.cumsum(p[order]) / p.sum()
    order = order[: int(np.searchsorted(total, min(top_p, 1.0))) + 1]
    return int(random.choice(order, p=p[order] / p[order].sum()))
