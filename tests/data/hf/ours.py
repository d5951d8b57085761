"""Rill's models in PyTorch: ours.py OUT RUN... (needs torch and RILL_LIBRARY, see rill.py).

Exports each run of pretrain to OUT/hf/NAME and OUT/rill/NAME and prints how far modeling_rill.py's
logits are from Rill's. Those of models that flash-linear-attention has are left beside them, for
`make.py --read OUT/hf` to compare with what its code computes.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "python"))
import rill  # noqa: E402
from modeling_rill import RillForCausalLM  # noqa: E402

out, runs = Path(sys.argv[1]), sys.argv[2:]
for kind in ("hf", "rill"):
    (out / kind).mkdir(parents=True, exist_ok=True)
for run in map(Path, runs):
    model = rill.Model(run)
    ids = np.random.default_rng(0).integers(0, model.config["vocab"], (2, 70))
    ours = model.logits(ids)
    model.save(out / "hf" / run.name, naming="hf")
    model.save(out / "rill" / run.name, naming="hf-rill")
    with torch.no_grad():
        theirs = RillForCausalLM.from_pretrained(out / "rill" / run.name)(torch.tensor(ids)).numpy()
    kind = json.loads((out / "hf" / run.name / "config.json").read_text())["model_type"]
    print(f"{run.name:24} {kind:16} {np.abs(ours - theirs).max():.1e} of {np.abs(ours).max():.1f}")
    if kind != "rill":
        save_file({"ids": ids.astype(np.int32), "logits": ours}, out / "hf" / run.name / "logits.safetensors")
