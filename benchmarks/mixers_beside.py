"""What others offer on CPUs for the same function as a mixer: operators of flash-linear-attention, layers of
transformers. `python benchmarks/mixers.py` times them beside ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from time import process_time

import torch
from torch import Tensor
from transformers import MambaConfig, RwkvConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention

from longspan.check.fla import module_of, operators
from longspan.compute.mix import mix
from longspan.compute.recurrence.chunks import chunk_recurrence
from longspan.mixers.mamba import Mamba
from longspan.mixers.retnet import decays
from longspan.mixers.rwkv4 import RWKV4
from longspan.slots import Mixer

HEADS, HEAD_DIM, CHUNK = 4, 64, 64
HIDDEN = HEADS * HEAD_DIM
DIFFERENCE = 1e-3
"""The largest one between both outputs, in standard deviations: all of them compute in float32."""
MISSING = None if find_spec("fla") else "flash-linear-attention is not installed: pip install fla-core"
"""Why its operators are left out."""


@dataclass(frozen=True)
class Pair:
    """Two ways to compute one function.

    Arguments:
        mixer: whose function it is, or whose recurrence.
        theirs: what ours is timed beside.
        calls: ours and theirs.
    """

    mixer: str
    theirs: str
    calls: tuple[Callable[[], Tensor], Callable[[], Tensor]]

    def difference(self) -> float:
        """The largest one of their outputs, in standard deviations."""
        ours, theirs = (call() for call in self.calls)
        return float((ours - theirs).abs().max() / theirs.std())

    def ratios(self, rounds: int) -> list[float]:
        """Processor time of ours over theirs, round by round, from the lowest to the highest."""
        found = []
        for _ in range(rounds):
            seconds = []
            for call in self.calls:
                began = process_time()
                call()
                seconds.append(process_time() - began)
            found.append(seconds[0] / seconds[1])
        return sorted(found)

    def row(self, rounds: int) -> dict[str, object]:
        """What is written of a pair.

        Errors: AssertionError where the outputs differ: such times compare nothing.
        """
        difference = self.difference()
        assert difference < DIFFERENCE, (self.mixer, self.theirs, difference)
        found = self.ratios(rounds)
        quarter = len(found) // 4
        middle = {"ratio": median(found), "low": found[quarter], "high": found[-1 - quarter]}
        return {
            "mixer": self.mixer,
            "theirs": self.theirs,
            "difference": difference,
            **{k: round(v, 3) for k, v in middle.items()},
        }


def weights_of(mixer: Mixer) -> dict[str, Tensor]:
    """The same numbers in each run."""
    return mixer.initial_weights(HEADS, HEAD_DIM, torch.Generator().manual_seed(0))


def pairs(tokens: int) -> list[Pair]:
    """All pairs that this machine has, on a text of so many tokens."""
    x = torch.randn(1, tokens, HIDDEN, generator=torch.Generator().manual_seed(0))
    return [*([] if MISSING else _operators(tokens)), *_layers(x)]


def _operators(tokens: int) -> list[Pair]:
    """Linear attention and RetNet without their projections: theirs are (batch, tokens, heads, head_dim).

    `naive_retention` is left out: it multiplies all pairs, and its decay overflows from some 2800 tokens on.
    """
    linear, simple = (module_of(operators() / name / "naive.py") for name in ("linear_attn", "simple_gla"))
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(1, tokens, HEADS, HEAD_DIM, generator=generator) for _ in range(3))
    query, key, value = (each.transpose(1, 2) for each in inputs)
    state, falls = torch.zeros(1, HEADS, HEAD_DIM, HEAD_DIM), decays(query)
    gates = falls.log().expand(1, tokens, HEADS)

    def ours(decay: Tensor) -> Tensor:
        return chunk_recurrence(query * HEAD_DIM**-0.5, key, value, decay, state, CHUNK)[0].transpose(1, 2)

    def linear_attention() -> Tensor:
        return linear.naive_chunk_linear_attn(*inputs)

    def gated() -> Tensor:
        return simple.naive_chunk_simple_gla(*inputs, gates, chunk_size=CHUNK)[0]

    return [
        Pair("linear_attention", "fla, naive_chunk_linear_attn", (lambda: ours(torch.ones(HEADS)), linear_attention)),
        Pair("retnet", "fla, naive_chunk_simple_gla", (lambda: ours(falls), gated)),
    ]


def _layers(x: Tensor) -> list[Pair]:
    """Whole layers of transformers with our numbers."""
    mamba = MambaMixer(MambaConfig(hidden_size=HIDDEN, num_hidden_layers=1), 0).eval()
    rwkv = RwkvSelfAttention(RwkvConfig(hidden_size=HIDDEN, num_hidden_layers=2, vocab_size=8)).eval()
    of_mamba, of_rwkv = weights_of(Mamba()), weights_of(RWKV4())
    mamba.load_state_dict(
        {
            "in_proj.weight": of_mamba["in"],
            "conv1d.weight": of_mamba["convolution"][:, None],
            "conv1d.bias": of_mamba["convolution_bias"],
            "x_proj.weight": of_mamba["selection"],
            "dt_proj.weight": of_mamba["size"],
            "dt_proj.bias": of_mamba["size_bias"],
            "A_log": of_mamba["a_log"],
            "D": of_mamba["skip"],
            "out_proj.weight": of_mamba["out"],
        }
    )
    state = {"time_decay": of_rwkv["decay"], "time_first": of_rwkv["first"], "output.weight": of_rwkv["out"]}
    for name in ("key", "value", "receptance"):
        state |= {f"{name}.weight": of_rwkv[name], f"time_mix_{name}": of_rwkv[f"shift_{name}"][None, None]}
    rwkv.load_state_dict(state)
    return [
        Pair("mamba", "transformers, MambaMixer", (lambda: mix(x, Mamba(), of_mamba)[0], lambda: mamba(x))),
        Pair("rwkv4", "transformers, RwkvSelfAttention", (lambda: mix(x, RWKV4(), of_rwkv)[0], lambda: rwkv(x)[0])),
    ]
