"""What a cache holds per layer, measured between forward passes of different lengths on the meta device."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Held:
    """What transformers' cache of one layer holds for one row of a batch.

    Arguments:
        fixed_bytes: bytes whatever the length: states of recurrent and convolutional layers.
        numbers: numbers (keys, values, latents) per token.
        item_bytes: bytes of one such number.
        limit: window in tokens; the cache keeps one token less, since each step brings its own. None for no limit.
    """

    fixed_bytes: int
    numbers: float
    item_bytes: int
    limit: int | None

    def tokens(self, length: int) -> int:
        """Tokens that are kept of so many."""
        return length if self.limit is None else min(length, self.limit - 1)

    def bytes_at(self, length: int, item_bytes: int | None = None) -> int:
        """Bytes after so many tokens; with another size of each number where given (1 for fp8).

        States of fixed size keep their own precision: engines do not store them in fp8.
        """
        return self.fixed_bytes + round(self.numbers * self.tokens(length) * (item_bytes or self.item_bytes))


def held_by(passes: list[tuple[int, list[Any]]]) -> Iterator[Held]:
    """Measure the growth of each layer's cache.

    Arguments:
        passes: tokens read and the layers of the cache after it, of three forward passes; the first two are shorter
            than any window.
    """
    lengths = [length for length, _ in passes]
    for layers in zip(*(layers for _, layers in passes), strict=True):
        limit = limit_of(layers[0])
        sizes = [_bytes(layer) for layer in layers]
        first, last = (0, 1) if limit is not None else (1, 2)
        per_token = (sizes[last] - sizes[first]) / (lengths[last] - lengths[first])
        item = _item_bytes(layers[0])
        fixed = max(0, round(sizes[first] - per_token * lengths[first]))
        yield Held(fixed, per_token / item, item, limit)


def limit_of(layer: Any) -> int | None:
    """The window of one layer's cache, tokens; None where it keeps everything."""
    limit = getattr(layer, "sliding_window", None)
    return limit if isinstance(limit, int) else None


def _bytes(layer: Any) -> int:
    seen = {id(tensor): tensor for tensor in _tensors(vars(layer).values())}
    return sum(tensor.numel() * tensor.element_size() for tensor in seen.values())


def _item_bytes(layer: Any) -> int:
    keys = getattr(layer, "keys", None)
    return keys.element_size() if isinstance(keys, Tensor) else 1


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            if value.is_floating_point():  # counters are not
                yield value
        elif isinstance(value, dict):
            yield from _tensors(value.values())
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
