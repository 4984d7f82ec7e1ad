"""Position samplers of training, by name: `longspan.positions` as functions of a row's length and a generator."""

import ast
from collections.abc import Callable
from functools import partial
from inspect import signature

import torch
from jaxtyping import Shaped
from torch import Tensor

from longspan.errors import InputError, ShapeError, nearest, shown
from longspan.positions.equal_mean import equal_mean
from longspan.positions.grid import grid
from longspan.positions.random import random
from longspan.slots.absolute import Absolute

CONTIGUOUS = "contiguous"
SAMPLERS: dict[str, Callable[..., Tensor]] = {"equal_mean": equal_mean, "grid": grid, "random": random}

TRIALS = 64
"""Draws of positions that an encoding must have vectors for before a training starts."""

Sampler = Callable[[int, torch.Generator], Shaped[Tensor, "1 tokens"]]
"""From the number of tokens and a generator to the positions that a batch shares."""


def sampler_of(text: str, length: int, setting: str = "design.positions") -> Sampler | None:
    """Read a sampler, as in "random(span=4096)"; None for contiguous positions.

    Arguments:
        length: tokens of a row, for which the sampler is tried.
        setting: which one names the sampler.

    Errors: InputError for a text that is none.
    """
    if text == CONTIGUOUS:
        return None
    try:
        tree = ast.parse(text, mode="eval").body
        call = tree if isinstance(tree, ast.Call) else ast.Call(tree, [], [])
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise InputError(f"{setting} cannot be read, got {shown(text)}: write 'random(span=4096)'") from None
    if name not in SAMPLERS or call.args:
        raise InputError(
            f"{setting}: unknown sampler {shown(text)}{nearest(name, SAMPLERS)}; there are contiguous, "
            f"{', '.join(SAMPLERS)}, with arguments by name"
        )
    if "rows" in arguments:
        raise InputError(f"{setting} = {text!r}: the rows of a step share their positions: leave out rows")
    function = SAMPLERS[name]
    takes_generator = "generator" in signature(function).parameters

    def sample(count: int, generator: torch.Generator) -> Tensor:
        made = partial(function, count, **arguments)
        return made(generator=generator) if takes_generator else made()

    try:
        sample(length, torch.Generator().manual_seed(0))
    except (ShapeError, TypeError, RuntimeError) as error:
        raise InputError(f"{setting} = {text!r}: {error}") from None
    return sample


def check_reach(absolute: Absolute | None, sampler: Sampler | None, length: int) -> None:
    """Refuse positions that an absolute encoding has no vectors for.

    Arguments:
        absolute: what a design adds to embeddings.
        sampler: of the positions; None for contiguous ones.
        length: tokens of a row.

    Errors: InputError.
    """
    if absolute is None:
        return
    weights = absolute.initial_weights(2)
    for trial in range(TRIALS if sampler is not None else 1):
        generator = torch.Generator().manual_seed(trial)
        positions = torch.arange(length)[None] if sampler is None else sampler(length, generator)
        try:
            absolute.vectors(positions, 2, weights, training=True)
        except ShapeError as error:
            raise InputError(
                f"design.positions or training.length reach {float(positions.max()):g}, and {error}"
            ) from None
