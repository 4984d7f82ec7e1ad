"""What mixers cost against length: `python benchmarks/mixers.py [--length 4096 …] [--rounds 3]`.

Each mixer reads a text of each length in chunks, beside one attention layer with plain causal attention of the same
size, round by round in one process. The slope is that of log time against log length; `beats_attention_from` is the
first measured length at which the mixer is faster. At the shortest length, Mamba and RWKV-4 are timed beside the
layers of transformers with the same numbers. One number of the table means little on a busy machine: compare ratios.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import MambaConfig, RwkvConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention

from longspan.bench.attention import conditions
from longspan.compute.mix import mix
from longspan.geometry import Geometry
from longspan.mixers.cosformer import CosFormer
from longspan.mixers.linear_attention import LinearAttention
from longspan.mixers.lru import LRU
from longspan.mixers.mamba import Mamba
from longspan.mixers.mega import Mega
from longspan.mixers.performer import Performer
from longspan.mixers.permuteformer import PermuteFormer
from longspan.mixers.retnet import RetNet
from longspan.mixers.rwkv4 import RWKV4
from longspan.slots import Mixer

FILE = Path(__file__).parent / "results" / "mixers.json"
HEADS, HEAD_DIM, CHUNK = 4, 64, 64
HIDDEN = HEADS * HEAD_DIM
LENGTHS = (4096, 8192, 16384, 32768, 65536)
GOAL = 1.1
"""The largest slope of a mixer whose time is to grow as its text does."""
MIXERS: tuple[Mixer, ...] = (
    LinearAttention(),
    Performer(),
    CosFormer(LENGTHS[-1]),
    PermuteFormer(),
    RetNet(),
    RWKV4(),
    Mamba(),
    LRU(),
    Mega(chunk=128),
)


def weights_of(mixer: Mixer) -> dict[str, Tensor]:
    return mixer.initial_weights(HEADS, HEAD_DIM, torch.Generator().manual_seed(0))


def attention() -> Callable[[Tensor], Tensor]:
    """A layer of plain causal attention with its projections."""
    weight = torch.randn(4, HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(0)) * HIDDEN**-0.5

    def layer(x: Tensor) -> Tensor:
        q, k, v = ((x @ w).unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2) for w in weight[:3])
        y = scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2) @ weight[3]

    return layer


def of(mixer: Mixer) -> Callable[[Tensor], Tensor]:
    weights = weights_of(mixer)
    return lambda x: mix(x, mixer, weights, mode="chunk", chunk=CHUNK)[0]


def theirs() -> dict[str, Callable[[Tensor], Tensor]]:
    """Layers of transformers on the CPU, of the same sizes."""
    mamba = MambaMixer(MambaConfig(hidden_size=HIDDEN, num_hidden_layers=1), 0).eval()
    rwkv = RwkvSelfAttention(RwkvConfig(hidden_size=HIDDEN, num_hidden_layers=2, vocab_size=8)).eval()
    own = weights_of(RWKV4())
    state = {"time_decay": own["decay"], "time_first": own["first"], "output.weight": own["out"]}
    for name in ("key", "value", "receptance"):
        state |= {f"{name}.weight": own[name], f"time_mix_{name}": own[f"shift_{name}"][None, None]}
    rwkv.load_state_dict(state)
    return {"mamba": lambda x: mamba(x), "rwkv4": lambda x: rwkv(x)[0]}


def rounds_of(calls: dict[str, Callable[[Tensor], Tensor]], length: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, in turn."""
    x = torch.randn(1, length, HIDDEN, generator=torch.Generator().manual_seed(0))
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = perf_counter()
            call(x)
            seconds[name].append(perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    geometry = Geometry(HEADS, HEADS, HEAD_DIM, LENGTHS[-1])
    calls = {"attention": attention()} | {m.name: of(m) for m in MIXERS if m.fill(geometry, LENGTHS[-1]) == m}
    with torch.no_grad():
        rounds_of(calls, 512, 1)  # what the first call alone has to do
        found = {length: rounds_of(calls, length, asked.rounds) for length in asked.length}
        short = min(asked.length)
        both = rounds_of({f"{k} of transformers": v for k, v in theirs().items()} | calls, short, asked.rounds)
    rows: dict[str, Any] = {}
    for name in calls:
        times = [median(found[length][name]) for length in asked.length]
        ratios = [
            median(a / b for a, b in zip(found[length][name], found[length]["attention"], strict=True))
            for length in asked.length
        ]
        slope = float(np.polyfit(np.log(asked.length), np.log(times), 1)[0]) if len(times) > 1 else None
        faster = [length for length, ratio in zip(asked.length, ratios, strict=True) if ratio < 1]
        rows[name] = {
            "seconds": [round(each, 4) for each in times],
            "to_attention": [round(each, 3) for each in ratios],
            "slope": None if slope is None else round(slope, 3),
            "beats_attention_from": min(faster, default=None) if name != "attention" else None,
        }
        if other := both.get(f"{name} of transformers"):
            rows[name]["to_transformers"] = round(median(a / b for a, b in zip(both[name], other, strict=True)), 3)
    written = {"conditions": conditions(), "lengths": list(asked.length), "goal": GOAL, "rows": rows}
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"{'':20}{'slope':>7}{'from':>8}   to attention at {', '.join(map(str, asked.length))}")
    for name, row in rows.items():
        slope = "" if row["slope"] is None else f"{row['slope']:.2f}"
        to = " ".join(f"{each:6.2f}" for each in row["to_attention"])
        beside = f"   {row['to_transformers']:.2f} × transformers" if "to_transformers" in row else ""
        print(f"{name:20}{slope:>7}{row['beats_attention_from'] or '':>8}   {to}{beside}")


if __name__ == "__main__":
    main()
