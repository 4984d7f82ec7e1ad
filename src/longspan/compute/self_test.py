"""The self-test of a backend: `auto` takes a fast one on a GPU only after it agreed with blocks on that very GPU.

No kernel can be tested for every card, driver and compiler that a user has. So each is tested where it is about to run,
the first time a kind of call comes: output, gradients and last step of a small call of that kind, against blocks of
float64 on the CPU. How much may differ is measured as well: a few times as much as blocks lose in that dtype on that
device, or as rounding queries, keys and values in that dtype costs.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from longspan.compute.inputs import Inputs
from longspan.compute.passed import Passed
from longspan.compute.places import contiguous
from longspan.errors import RefusalError, SchemeError
from longspan.geometry import Geometry
from longspan.memo import remember
from longspan.notation import format_scheme
from longspan.scheme import Scheme
from longspan.slots import Part

HEADS, KV_HEADS, TOKENS = 4, 2, 200
TRAINED_LENGTH, LENGTH = 32, 128
"""Lengths that open fields are filled from, so that a small call has near and far keys."""

FEW = 16
"""A larger whole number counts tokens; a smaller one may be a group, or a number of sinks, and stays."""

ROUNDINGS = 3
"""Of each query, key and value in a fast backend: scaled, rotated, and multiplied with a rounded weight."""

MARGIN, LEAST = 4.0, 1e-13
"""How many times the measured loss a backend may lose, and what it may lose where nothing is lost."""

Run = Callable[[Inputs, str], Tensor]


@dataclass(frozen=True)
class Kind:
    """What calls have in common that one test speaks for.

    Arguments:
        device, dtype, head_dim, value_dim: of the tensors.
        scheme: the parts of the call with small windows and lengths.
    """

    device: torch.device
    dtype: torch.dtype
    head_dim: int
    value_dim: int
    scheme: Scheme

    @classmethod
    def of(cls, x: Inputs) -> "Kind":
        """The kind of a call."""
        scheme = small(replace(x.scheme, qk_norm=None), x.query.shape[3])
        return cls(x.query.device, x.query.dtype, x.query.shape[3], x.value.shape[3], scheme)

    def inputs(self) -> Inputs:
        """A call of this kind, on the CPU in float64, with numbers that the dtype of the kind holds exactly."""
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(self.dtype).double()

        query = random(2, HEADS, TOKENS, self.head_dim)
        key, value = random(2, KV_HEADS, TOKENS, self.head_dim), random(2, KV_HEADS, TOKENS, self.value_dim)
        weights = {
            name: (weight + 0.3 * torch.rand(weight.shape, generator=generator)).float().double()
            for name, weight in self.scheme.initial_weights(HEADS, self.head_dim, generator).items()
        }
        axes = self.scheme.rotation.num_axes
        where = contiguous(TOKENS)
        where = replace(where, coordinate=where.coordinate.expand(-1, -1, axes)) if axes > 1 else where
        return Inputs(query, key, value, self.scheme, where, where, weights, self.head_dim**-0.5)


@dataclass(frozen=True)
class Outcome:
    """How a self-test ended.

    Arguments:
        error: largest difference from float64, as a share of the largest number; None where nothing was computed.
        budget: the largest difference that passes; 0 where nothing was computed.
        why: what was wrong; empty where the test passed.
        refused: whether the backend says itself that it does not serve such calls.
    """

    error: float | None
    budget: float
    why: str = ""
    refused: bool = False

    @property
    def passed(self) -> bool:
        """Whether the backend may be taken."""
        return not self.why


@remember(None)
def trusted(kind: Kind, backend: str, run: Run) -> bool:
    """Whether a backend passes its self-test for a kind of call, on this device with these versions.

    A pass is remembered on disk, a failure for the process. The first failure warns.
    """
    passed = Passed.of(kind.device, kind.dtype, (kind.head_dim, kind.value_dim), backend, format_scheme(kind.scheme))
    if passed.is_known():
        return True
    found = self_test(kind, backend, run)
    if found.passed:
        passed.note()
        return True
    warnings.warn(
        f"attention backend {backend!r} is not used for {format_scheme(kind.scheme)} in {kind.dtype} on {kind.device}: "
        f"{found.why}; blocks are used, which are slower. `longspan doctor --json` prints what a report needs",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


def self_test(kind: Kind, backend: str, run: Run) -> Outcome:
    """Compare a backend with blocks on a small call of a kind, forward and backward.

    Arguments:
        run: computes inputs on a backend, by name.
    """
    given = kind.inputs()
    try:
        results = _results(_on(given, kind.device, kind.dtype), backend, run)
    except RefusalError as refusal:
        return Outcome(None, 0.0, str(refusal), refused=True)
    except Exception as error:  # compilers raise errors of their own, some without a word
        said = str(error).strip().partition("\n")[0]
        return Outcome(None, 0.0, f"it raised {type(error).__name__}: {said}")
    wanted = _results(given, "blocks", run)
    alternatives = _on(given, kind.device, kind.dtype), _rounded(given, kind.dtype)
    noise = max(max(_differences(_results(x, "blocks", run), wanted).values()) for x in alternatives)
    budget = MARGIN * noise + LEAST
    errors = _differences(results, wanted)
    wrong = [name for name, error in errors.items() if not error <= budget]  # a NaN is no small number
    error = max(errors.values(), key=lambda error: (error != error, error))
    if wrong:
        what = " and ".join(wrong)
        return Outcome(error, budget, f"{what} differ from those of blocks by {error:.1e}, {budget:.1e} is allowed")
    return Outcome(error, budget)


class Results(NamedTuple):
    """What a backend makes of a call, on the CPU in float64.

    Arguments:
        output: of all queries.
        step: of the last query alone, without gradients: a decoding step.
        gradients: of queries, keys, values and learned weights, in one fixed direction.
    """

    output: Tensor
    step: Tensor
    gradients: list[Tensor]


def _results(x: Inputs, backend: str, run: Run) -> Results:
    """Compute a call on a backend."""
    names = list(x.weights)
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (x.query, x.key, x.value, *x.weights.values())]
        weights = dict(zip(names, leaves[3:], strict=True))
        out = run(replace(x, query=leaves[0], key=leaves[1], value=leaves[2], weights=weights), backend)
        direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
        found = torch.autograd.grad(out, leaves, direction, allow_unused=True)
    gradients = [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]
    with torch.no_grad():
        step = run(replace(x, query=x.query[:, :, -1:], queries=x.queries.last(1)), backend)
    out, step, *gradients = (t.detach().cpu().double() for t in (out, step, *gradients))
    return Results(out, step, gradients)


def _differences(some: Results, others: Results) -> dict[str, float]:
    """The largest difference of outputs, steps and gradients, as a share of the largest number of each tensor.

    NaN where there is a NaN. A gradient that sums many numbers of the output may be far smaller than they are, but is
    no more exact: its share is taken of the root of their count at least.
    """
    count = others.output.numel()
    gradients = [
        _difference(a, b, sqrt(count / b.numel()))
        for a, b in zip(some.gradients, others.gradients, strict=True)
        if b.numel()
    ]
    return {
        "outputs": _difference(some.output, others.output, 1.0),
        "decoding steps": _difference(some.step, others.step, 1.0),
        "gradients": float(torch.tensor(gradients).max()),
    }


def _difference(some: Tensor, other: Tensor, least: float) -> float:
    return float((some - other).abs().max() / other.abs().max().clamp(min=least))


def _rounded(x: Inputs, dtype: torch.dtype) -> Inputs:
    """The call with queries, keys and values as they might be after a few roundings in a dtype."""
    generator = torch.Generator().manual_seed(2)

    def rounded(t: Tensor) -> Tensor:
        share = 2.0 * torch.rand(t.shape, generator=generator, dtype=t.dtype) - 1.0
        return t * (1.0 + ROUNDINGS * torch.finfo(dtype).eps / 2 * share)

    return replace(x, query=rounded(x.query), key=rounded(x.key), value=rounded(x.value))


def _on(x: Inputs, device: torch.device, dtype: torch.dtype) -> Inputs:
    query, key, value = (t.to(dtype).to(device) for t in (x.query, x.key, x.value))
    weights = {
        name: weight.to(torch.promote_types(dtype, torch.float32)).to(device) for name, weight in x.weights.items()
    }
    where = {"queries": x.queries.to(device), "keys": x.keys.to(device)}
    return replace(x, query=query, key=key, value=value, weights=weights, **where)


@remember(256)
def small(scheme: Scheme, head_dim: int) -> Scheme:
    """The scheme with small windows and lengths: fields that count tokens are filled anew, all others stay."""
    geometry = Geometry(HEADS, KV_HEADS, head_dim, TRAINED_LENGTH)
    changes = {f.name: _small_part(getattr(scheme, f.name), geometry) for f in fields(scheme)}
    return replace(scheme, **changes)


def _small_part(part: Part | None, geometry: Geometry) -> Part | None:
    if part is None:
        return None
    counts = {f.name for f in fields(part) if _counts_tokens(getattr(part, f.name))}
    kept = {f.name: getattr(part, f.name) for f in fields(part) if f.name not in counts}
    try:
        return type(part)(**kept).fill(geometry, LENGTH)
    except (SchemeError, TypeError):  # numbers that only go with the others
        return type(part)().fill(geometry, LENGTH)


def _counts_tokens(value: object) -> bool:
    """Whether a field is as large as a text or as long as a model is deep: such a number says nothing of its kind."""
    return isinstance(value, tuple) or (isinstance(value, int) and value > FEW)
