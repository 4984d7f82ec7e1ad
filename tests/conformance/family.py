"""The row of one model type: every method on every path, on a tiny model of that type.

A cell is `pass`, `refused: reason`, or `FAIL: what`. Paths are compared with reading at once. A method of fixed
frequencies, which leaves attention alone, is also computed on unturned keys: a second route that shares no rotation
with the first.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel, StaticCache

import longspan
from conformance.laws import laws
from conformance.reviewed import IN_LAYER, METHODS, NO_ROTATION, reason
from longspan.compute.decoding.frame import UNROTATED
from longspan.errors import LongspanError
from longspan.pretrained import division
from longspan.pretrained.attachment import attachment_of
from pretrained.models import logits

LENGTH = 40
MATTER = 0.2
"""What forgetting positions must change at least, in units of the logits' deviation."""
TOLERANCE = 1e-3
"""What paths may differ by, or ten times what the model itself does; from here on a model lacks the path itself."""
WORKS = 1e-2
"""What a method must change at least."""


@dataclass
class Row:
    """What was found for one model type.

    Arguments:
        rotates: whether the type has rotation.
        positions: what forgetting positions changes.
        missing: paths on which the model itself differs from reading at once, and by how much.
        worst: the largest difference between paths under any method.
        cells: by method; one entry "all" where nothing could be tried.
        laws: by law, "pass" or what broke it; a law without anything to say on this type is left out.
    """

    rotates: bool = True
    positions: float = 0.0
    missing: dict[str, float] = field(default_factory=dict)
    worst: float = 0.0
    cells: dict[str, str] = field(default_factory=dict)
    laws: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As written to disk."""
        return asdict(self)

    @property
    def takes(self) -> list[str]:
        """Methods that pass."""
        return [method for method, cell in self.cells.items() if cell == "pass"]

    @property
    def red(self) -> list[str]:
        """Methods and laws that fail."""
        broken = [law for law, cell in self.laws.items() if cell != "pass"]
        return [method for method, cell in self.cells.items() if cell.startswith("FAIL")] + broken


def row(model_type: str, model: PreTrainedModel) -> Row:
    """Try everything on a model."""
    found = Row(rotates=rotates(model_type, model))
    if not found.rotates:
        return found
    plain = logits(model, words())
    found.positions = _forgetting(model, plain)
    own = {name: _distance(lambda path=path: path(model), plain) for name, path in PATHS.items()}
    found.missing = {name: apart for name, apart in own.items() if not apart < TOLERANCE}
    paths = {name: max(TOLERANCE, 10 * apart) for name, apart in own.items() if name not in found.missing}
    for method in METHODS:
        found.cells[method], worst = _cell(model, method, plain, paths)
        found.worst = max(found.worst, worst)
    if found.takes:
        found.laws = laws(model, words())
    if found.takes and found.positions < MATTER:
        return replace(found, cells=dict.fromkeys(METHODS, "FAIL: positions hardly matter in this model"))
    return found


def rotates(model_type: str, model: PreTrainedModel) -> bool:
    """Whether the type has rotation."""
    if model_type in IN_LAYER:
        return True
    try:
        with longspan.attached(model, "rope"):
            return True
    except LongspanError as error:
        return NO_ROTATION not in str(error)


def _cell(model: PreTrainedModel, method: str, plain: Tensor, paths: dict[str, float]) -> tuple[str, float]:
    try:
        with longspan.attached(model, method):
            at_once = logits(model, words())
            apart = {name: _distance(lambda n=name: PATHS[n](model), at_once) for name in paths}
            attachment = attachment_of(model)
            stock = attachment is not None and attachment.work.stock
        red = [f"{name} {apart[name]:.1e}" for name in paths if not apart[name] <= paths[name]]
        if stock and not (found := _second_route(model, method, at_once)) <= TOLERANCE:
            red.append(f"unturned {found:.1e}")
        if not paths:
            red.append("the model itself has no path to compare")
        if _differ(at_once, plain) < WORKS:
            red.append("changes nothing")
        if not torch.equal(logits(model, words()), plain):
            red.append("detach")
    except LongspanError as error:
        known = reason(str(error))
        return (f"refused: {known}" if known else f"FAIL: unreviewed refusal: {str(error)[:160]}"), 0.0
    except Exception as error:
        return f"FAIL: {type(error).__name__}: {str(error)[:120]}", 0.0
    return ("FAIL: " + ", ".join(red) if red else "pass"), max(apart.values(), default=0.0)


def _second_route(model: PreTrainedModel, method: str, at_once: Tensor) -> float:
    """The same method with every source in frame 0; 0 where the type has no such route."""
    before, division.shared_frame = division.shared_frame, lambda *_: UNROTATED
    try:
        with longspan.attached(model, method):
            return _differ(logits(model, words()), at_once)
    except LongspanError as error:
        if reason(str(error)) is None:
            raise
        return 0.0
    finally:
        division.shared_frame = before


# --- paths ------------------------------------------------------------------------------------------------------------


def words() -> Tensor:
    return torch.randint(3, 119, (2, LENGTH), generator=torch.Generator().manual_seed(0))


def by_token(model: PreTrainedModel) -> Tensor:
    return _in_parts(model, [LENGTH - 5, *[1] * 5])


def in_chunks(model: PreTrainedModel) -> Tensor:
    return _in_parts(model, [7, 20, LENGTH - 27])


def static_cache(model: PreTrainedModel) -> Tensor:
    return _in_parts(model, [LENGTH - 5, 1, 1, 3], StaticCache(config=model.config, max_cache_len=LENGTH + 3))


def left_padded(model: PreTrainedModel) -> Tensor:
    padded, mask = _padded()
    return logits(model, padded, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0))[:, 5:]


def left_padded_bare(model: PreTrainedModel) -> Tensor:
    """As people call a model, without positions."""
    padded, mask = _padded()
    return logits(model, padded, attention_mask=mask)[:, 5:]


def _padded() -> tuple[Tensor, Tensor]:
    padded = torch.cat([torch.zeros(2, 5, dtype=torch.long), words()], 1)
    return padded, (torch.arange(LENGTH + 5) >= 5).long().expand(2, -1)


@torch.no_grad()
def _in_parts(model: PreTrainedModel, sizes: list[int], cache: Cache | None = None) -> Tensor:
    """Part by part with a cache, each with the positions that `generate` would give it."""
    found, start = [], 0
    for size in sizes:
        positions = torch.arange(start, start + size).expand(2, -1)
        part = words()[:, start : start + size]
        out = model(input_ids=part, position_ids=positions, past_key_values=cache, use_cache=True)
        found.append(out.logits)
        cache, start = out.past_key_values, start + size
    return torch.cat(found, 1)


PATHS: dict[str, Callable[[PreTrainedModel], Tensor]] = {
    "token by token": by_token,
    "chunked": in_chunks,
    "left-padded": left_padded,
    "left-padded without positions": left_padded_bare,
    "static cache": static_cache,
}


def _forgetting(model: PreTrainedModel, plain: Tensor) -> float:
    """What it changes to give every token the position 0."""
    zeros = torch.zeros(2, LENGTH, dtype=torch.long)
    still = logits(model, words(), position_ids=zeros, attention_mask=torch.ones_like(zeros))
    return float((plain - still).std() / plain.std())


def _distance(path: Callable[[], Tensor], expected: Tensor) -> float:
    try:
        return _differ(path(), expected)
    except LongspanError:
        raise
    except Exception:  # a path that the model itself does not have
        return inf


def _differ(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.std())
