"""flash-linear-attention's naive operators against a recurrence in float64: whole, in chunks, and from a saved state.

Their files need torch and einops alone; importing the package would need triton. So each file is read by itself.

Source: github.com/fla-org/flash-linear-attention, fla/ops/*/naive.py; its issue 494 is a state that was wrong when a
text was read chunk by chunk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from longspan.compute.recurrence.chunks import chunk_recurrence
from longspan.errors import InputError

TOKENS, HEADS, WIDTH = 128, 2, 8
ALLOWED = 1e-4
"""The largest difference in standard deviations of the output: the operators compute in float32."""
LONG = 3072
"""Tokens of a text over which the first head's decay, if it is also computed for pairs in the future, overflows."""
CUTS = (1, 37, 64)
"""Where a text is cut for reading on."""


@dataclass(frozen=True)
class Outcome:
    """One law, asked of one operator.

    Arguments:
        operator: its function.
        law: what must hold.
        difference: the largest one, in standard deviations of the output.
    """

    operator: str
    law: str
    difference: float

    @property
    def holds(self) -> bool:
        """Whether the difference is rounding; a NaN is none."""
        return self.difference <= ALLOWED


def operators(folder: Path | None = None) -> Path:
    """Return the folder of the operators, fla/ops.

    Arguments:
        folder: another one than the installed package's.

    Errors: InputError where the package is not installed.
    """
    if folder is not None:
        return folder
    package = find_spec("fla")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "flash-linear-attention is not installed: pip install fla-core (its naive operators need no GPU and no "
            "triton)"
        )
    return Path(package.submodule_search_locations[0]) / "ops"


def outcomes(folder: Path | None = None) -> Iterator[Outcome]:
    """Ask every law of every operator.

    Errors: InputError where the package is not installed, or lacks an operator.
    """
    ops = operators(folder)
    linear, simple, retention = (
        module_of(ops / name / "naive.py") for name in ("linear_attn", "simple_gla", "retention")
    )
    query, key, value = torch.randn(
        3, 2, TOKENS, HEADS, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).unbind(0)
    ones = torch.ones(HEADS, dtype=torch.float64)
    falls = 1 - 2.0 ** (-5 - torch.arange(HEADS, dtype=torch.float64))
    inputs = tuple(each.float() for each in (query, key, value))
    gates = falls.log().float().expand(2, TOKENS, HEADS)

    plain, faded = (_ours(query, key, value, decay) for decay in (ones, falls))
    recurrent = _of(linear, "naive_recurrent_linear_attn")
    yield _compared("naive_recurrent_linear_attn", "is the recurrence", recurrent(*inputs)[0], plain)
    yield from _reads_on("naive_recurrent_linear_attn", recurrent, inputs, plain)
    chunk = _of(linear, "naive_chunk_linear_attn")
    yield _compared("naive_chunk_linear_attn", "chunks are the recurrence", chunk(*inputs), plain)
    for name in ("naive_recurrent_simple_gla", "naive_chunk_simple_gla"):
        function = _of(simple, name)
        yield _compared(name, "is the recurrence", function(*inputs, gates)[0], faded)
        yield from _reads_on(name, function, (*inputs, gates), faded)
    parallel = _of(simple, "naive_parallel_simple_gla")(*inputs, gates)
    parallel = parallel[0] if isinstance(parallel, tuple) else parallel
    yield _compared("naive_parallel_simple_gla", "is the recurrence", parallel, faded)
    whole = _of(retention, "naive_retention")(*(each.transpose(1, 2) for each in inputs))
    yield _compared("naive_retention", "is the recurrence", whole.transpose(1, 2), faded)
    yield from _of_issue_494(ops, inputs, gates)
    yield _long(_of(retention, "naive_retention"), falls)


def _long(function: Callable[..., Any], falls: Tensor) -> Outcome:
    """Whether a mask hides what overflows, for the head that forgets fastest."""
    generator, shape = torch.Generator().manual_seed(1), (3, 1, LONG, 1, WIDTH)
    query, key, value = torch.randn(shape, generator=generator, dtype=torch.float64).unbind(0)
    found = function(*(each.float().transpose(1, 2) for each in (query, key, value))).transpose(1, 2)
    wanted = _ours(query, key, value, falls[:1], chunk=64)
    return _compared("naive_retention", f"is the recurrence at {LONG} tokens", found, wanted)


def _of_issue_494(ops: Path, inputs: tuple[Tensor, ...], gates: Tensor) -> Iterator[Outcome]:
    """The operators of the layers that the issue names, a text in two parts against the same text at once."""
    delta, slots = (module_of(ops / name / "naive.py") for name in ("gated_delta_rule", "gsa"))
    query, key, value = inputs
    direction = torch.nn.functional.normalize(key, dim=-1)  # longer keys make the delta rule diverge
    rate = value[..., 0].sigmoid()
    recurrent = _of(delta, "naive_recurrent_gated_delta_rule")
    given = query, direction, value, rate, gates
    wanted = recurrent(*given)[0].double()
    yield from _reads_on("naive_recurrent_gated_delta_rule", recurrent, given, wanted)
    chunk = _of(delta, "naive_chunk_gated_delta_rule")
    given = query, direction, value, gates, rate
    yield _compared("naive_chunk_gated_delta_rule", "chunks are the recurrence", chunk(*given)[0], wanted)
    yield from _reads_on("naive_chunk_gated_delta_rule", chunk, given, wanted)
    slot = _of(slots, "naive_recurrent_gsa")
    given = query, key, value, key.sigmoid(), gates[..., None].expand_as(key)
    yield from _reads_on("naive_recurrent_gsa", slot, given, slot(*given)[0].double())


def _reads_on(name: str, function: Callable[..., Any], inputs: tuple[Tensor, ...], wanted: Tensor) -> Iterator[Outcome]:
    """The rest of a text, from the state that its beginning left, is what it is in the whole text."""
    for cut in CUTS:
        first, state = function(*(each[:, :cut] for each in inputs), output_final_state=True)
        later, _ = function(*(each[:, cut:] for each in inputs), initial_state=state, output_final_state=True)
        yield _compared(name, f"reads on after {cut} tokens", torch.cat([first, later], 1), wanted)


def _ours(query: Tensor, key: Tensor, value: Tensor, decay: Tensor, chunk: int = 1) -> Tensor:
    """The outputs in float64, by default one token at a time."""
    q, k, v = (each.transpose(1, 2) for each in (query * WIDTH**-0.5, key, value))
    state = q.new_zeros(len(q), len(decay), WIDTH, WIDTH)
    return chunk_recurrence(q, k, v, decay, state, chunk)[0].transpose(1, 2)


def _compared(operator: str, law: str, found: Tensor, wanted: Tensor) -> Outcome:
    difference = float((found.double() - wanted).abs().max() / wanted.std())
    return Outcome(operator, law, difference if difference == difference else float("inf"))


def module_of(path: Path) -> ModuleType:
    """Read one file of the operators as a module of its own.

    Errors: InputError where there is no such file.
    """
    spec = spec_from_file_location(f"{path.parent.name}_naive", path) if path.exists() else None
    if spec is None or spec.loader is None:
        raise InputError(f"flash-linear-attention has no {path}: this check knows version 0.6")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _of(module: ModuleType, name: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if function is None:
        raise InputError(f"{module.__file__} has no {name}: this check knows version 0.6 of flash-linear-attention")
    return function
