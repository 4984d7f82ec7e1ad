"""What mixers cost against length: `python benchmarks/mixers.py [--tokens 65536] [--rounds 3]`, then
`python benchmarks/table.py`. About 7 minutes on two cores.

Each mixer reads texts in chunks. In each round every mixer reads every length, and a short text is read again and again
until its tokens are as many as those of a longer one, so that a slow minute of the machine slows all lengths alike.

- `slope`, of log time against log length: processor time of one thread, the fastest round of each length, since other
  programs only ever add time. `slopes` has the lowest and the highest of single rounds.
- `to_attention`: time by the clock with all threads, over that of one layer of plain causal attention of the same size
  in the same round. `beats_attention_from` is the first measured length at which the mixer is faster.
- `reading` and `next`: multiplications and additions of matrix products per token, counted, not timed: of a text's
  first tokens and of its last ones, and of one more token after as many. `state` has the bytes that a layer keeps.
- `beside`: processor time over that of other implementations of the same function (`mixers_beside.py`).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import linear_regression, median
from time import perf_counter, process_time
from typing import Any

import torch
from mixers_beside import CHUNK, HEAD_DIM, HEADS, HIDDEN, MISSING, pairs, weights_of
from numpy import log
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from longspan.bench.attention import conditions
from longspan.compute.mix import mix
from longspan.mixers.cosformer import CosFormer
from longspan.mixers.efficient_attention import EfficientAttention
from longspan.mixers.flash import FLASH
from longspan.mixers.linear_attention import LinearAttention
from longspan.mixers.lru import LRU
from longspan.mixers.mamba import Mamba
from longspan.mixers.mega import Mega
from longspan.mixers.performer import Performer
from longspan.mixers.permuteformer import PermuteFormer
from longspan.mixers.retnet import RetNet
from longspan.mixers.rwkv4 import RWKV4
from longspan.mixers.transformer_vq import TransformerVQ
from longspan.slots import Mixer

FILE = Path(__file__).parent / "results" / "mixers.json"
TOKENS = 65536
STEPS = 4
"""Doublings from the shortest length of the slope to the longest."""
GOAL = 1.1
"""The largest slope of a mixer whose time is to grow as its text does."""
BESIDE = 1.3
"""The largest ratio to what others offer."""
Call = Callable[[Tensor], Tensor]


def mixers_of(tokens: int) -> tuple[Mixer, ...]:
    """Mixers whose time is to grow as the text does."""
    return (
        LinearAttention(),
        Performer(),
        CosFormer(tokens),
        PermuteFormer(),
        EfficientAttention(),
        RetNet(),
        RWKV4(),
        Mamba(),
        LRU(),
        Mega(chunk=128),
        FLASH(),
        TransformerVQ(),
    )


class Attention:
    """A layer of plain causal attention with its projections."""

    def __init__(self) -> None:
        self.weight = torch.randn(4, HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(0)) * HIDDEN**-0.5

    def __call__(self, x: Tensor) -> Tensor:
        q, k, v = (self._heads(x, i) for i in range(3))
        y = scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2) @ self.weight[3]

    def next(self, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """One more token over cached keys and values, of which the newest is overwritten."""
        q, key[:, :, -1:], value[:, :, -1:] = (self._heads(x, i) for i in range(3))
        y = (q @ key.mT * HEAD_DIM**-0.5).softmax(-1) @ value
        return y.transpose(1, 2).flatten(2) @ self.weight[3]

    def _heads(self, x: Tensor, i: int) -> Tensor:
        return (x @ self.weight[i]).unflatten(-1, (HEADS, HEAD_DIM)).transpose(1, 2)


def reading(mixer: Mixer) -> Call:
    weights = weights_of(mixer)
    return lambda x: mix(x, mixer, weights, mode="chunk", chunk=CHUNK)[0]


def text(tokens: int) -> Tensor:
    return torch.randn(1, tokens, HIDDEN, generator=torch.Generator().manual_seed(0))


# --- times ------------------------------------------------------------------------------------------------------------


def timed(
    calls: dict[str, Call], lengths: list[int], rounds: int, clock: Callable[[], float]
) -> dict[str, dict[int, list[float]]]:
    """Seconds per text of each call at each length, all of them in each round."""
    found: dict[str, dict[int, list[float]]] = {name: {length: [] for length in lengths} for name in calls}
    texts = {length: text(length) for length in lengths}
    for number in range(rounds):
        for length in lengths:
            times = max(1, max(lengths) // 4 // length)
            for name, call in calls.items():
                began = clock()
                for _ in range(times):
                    call(texts[length])
                found[name][length].append((clock() - began) / times)
            print(f"round {number + 1} of {rounds}, {length} tokens", flush=True)
    return found


def slope(lengths: list[int], seconds: list[float]) -> float:
    return round(float(linear_regression(log(lengths), log(seconds)).slope), 3)


def slopes(found: dict[int, list[float]], lengths: list[int], rounds: int) -> dict[str, Any]:
    each = sorted(slope(lengths, [found[length][i] for length in lengths]) for i in range(rounds))
    fastest = [min(found[length]) for length in lengths]
    return {
        "seconds": [round(time, 4) for time in fastest],
        "slope": slope(lengths, fastest),
        "slopes": [each[0], each[-1]],
    }


def to_attention(mine: dict[int, list[float]], attention: dict[int, list[float]]) -> dict[str, Any]:
    ratios = {n: median(a / b for a, b in zip(mine[n], attention[n], strict=True)) for n in mine}
    return {
        "to_attention": [round(ratio, 3) for ratio in ratios.values()],
        "beats_attention_from": min((n for n, ratio in ratios.items() if ratio < 1), default=None),
    }


# --- counts -----------------------------------------------------------------------------------------------------------


def counted(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def growth(mixer: Mixer, lengths: tuple[int, int]) -> dict[str, Any]:
    """Counts over the first tokens of a text and over the last of a long one, and what is kept after both."""
    weights, state, read = weights_of(mixer), None, 0
    found: dict[str, list[int]] = {"reading": [], "next": [], "state": []}
    for length in lengths:
        last = text(length - read)
        with FlopCounterMode(display=False) as counter:
            state = mix(last, mixer, weights, initial_state=state, mode="chunk", chunk=CHUNK, output_final_state=True)[
                1
            ]
        assert state is not None
        found["reading"].append(counter.get_total_flops() // (length - read))
        found["state"].append(state.nbytes)
        found["next"].append(counted(lambda state=state: mix(text(1), mixer, weights, initial_state=state)))
        read = length
    return found


def growth_of_attention(layer: Attention, lengths: tuple[int, int]) -> dict[str, Any]:
    found: dict[str, list[int]] = {"next": [], "state": []}
    for length in lengths:
        key, value = torch.randn(2, 1, HEADS, length, HEAD_DIM)
        found["next"].append(counted(lambda key=key, value=value: layer.next(text(1), key, value)))
        found["state"].append(key.nbytes + value.nbytes)
    return found


# --- all of it --------------------------------------------------------------------------------------------------------


def measured(tokens: int, rounds: int) -> dict[str, Any]:
    lengths, threads = [tokens >> i for i in range(STEPS, -1, -1)], torch.get_num_threads()
    shorter = [lengths[0] // 4, lengths[0] // 2, *lengths]
    ends = lengths[0], lengths[-1]
    layer, mixers = Attention(), mixers_of(tokens)
    rows = {"attention": growth_of_attention(layer, ends)} | {each.name: growth(each, ends) for each in mixers}
    calls: dict[str, Call] = {"attention": layer} | {each.name: reading(each) for each in mixers}
    by_clock = timed(calls, shorter, max(2, rounds - 1), perf_counter)
    torch.set_num_threads(1)
    beside = [pair.row(5 * rounds) for pair in pairs(lengths[0])]
    alone = {name: call for name, call in calls.items() if name != "attention"}
    by_processor = timed(alone, lengths, rounds, process_time)
    for name, row in rows.items():
        row |= to_attention(by_clock[name], by_clock["attention"])
        row |= slopes(by_processor[name], lengths, rounds) if name in by_processor else {}
    return {
        "conditions": {key: conditions()[key] for key in ("hardware", "torch", "python", "load_average")},
        "threads": threads,
        "lengths": lengths,
        "compared": shorter,
        "goal": GOAL,
        "rows": rows,
        "beside": beside,
        "beside_goal": BESIDE,
        "missing": MISSING,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the longest text")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--out", type=Path, default=FILE, help="where results are written")
    asked = parser.parse_args()
    with torch.no_grad():
        found = measured(asked.tokens, asked.rounds)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, row in found["rows"].items():
        if "slope" in row:
            print(f"{name:20} slope {row['slope']:.2f}, faster than attention from {row['beats_attention_from']}")
    for row in found["beside"]:
        print(f"{row['mixer']:20} {row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}] × {row['theirs']}")
    if found["missing"]:
        print(found["missing"])


if __name__ == "__main__":
    main()
