"""Attention over near keys and what a memory keeps of far ones, document by document and block by block.

A query of block b sees the keys of the blocks b − 1 and b, and the codes of all earlier ones. What a block of keys
does to the codes is decided when the block after it is complete, whoever asks and however a text is cut: reading on
from what is kept gives what reading all at once gives.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from longspan.compute.inputs import Inputs
from longspan.compute.places import PADDING, Places
from longspan.compute.rotate import rotate
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.scheme import Scheme
from longspan.slots import UNBOUNDED, Memory, Weights

FAR = 2**40
"""A distance at which every pair is far."""

ROWS = 256
"""Queries whose scores are held at once."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Far tokens of one document as sums over the tokens of each code, in float32 at least.

    Arguments:
        count: tokens of each code.
        key_sum, value_sum: of those tokens.
        key_energy, value_energy: the sum of all far tokens' squared numbers.
    """

    count: Float[Tensor, "kv_heads codes"]
    key_sum: Float[Tensor, "kv_heads codes head_dim"]
    value_sum: Float[Tensor, "kv_heads codes value_dim"]
    key_energy: Float[Tensor, " kv_heads"]
    value_energy: Float[Tensor, " kv_heads"]

    @classmethod
    def none(cls, key: Tensor, value: Tensor) -> "Codes":
        """Return those of no tokens, for keys (kv_heads, tokens, head_dim) and values of such shapes."""
        key, value = (x[:, :0].to(torch.promote_types(x.dtype, torch.float32)) for x in (key, value))
        return cls(key[..., 0], key, value, key.sum((1, 2)), value.sum((1, 2)))

    @property
    def keys(self) -> Float[Tensor, "kv_heads codes head_dim"]:
        """The mean key of each code."""
        return self.key_sum / self.count[..., None]

    @property
    def values(self) -> Float[Tensor, "kv_heads codes value_dim"]:
        """The mean value of each code."""
        return self.value_sum / self.count[..., None]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All that is held."""
        return self.count, self.key_sum, self.value_sum, self.key_energy, self.value_energy

    @property
    def energy(self) -> tuple[float, float]:
        """Σ |k|² of all far keys, and that of all far values."""
        return float(self.key_energy.sum()), float(self.value_energy.sum())

    @property
    def kept_energy(self) -> tuple[float, float]:
        """Σ n |c|² of the keys of codes, and that of their values.

        What lies between far keys and their means is Σ |k − c|² = Σ |k|² − Σ n |c|², which needs no far key.
        """
        return tuple(  # pyright: ignore[reportReturnType]
            float((sums.square().sum(-1) / self.count).sum()) for sums in (self.key_sum, self.value_sum)
        )

    def lost(self) -> tuple[float, float]:
        """Return the share of far keys and of far values, in squared numbers, that codes do not keep."""
        return lost([self])

    def joined(self, key: Tensor, value: Tensor, most: int) -> "Codes":
        """Take up tokens, as new codes while there are fewer than `most`; the others join the nearest code."""
        key, value = key.to(self.key_sum.dtype), value.to(self.value_sum.dtype)
        energies = (old + new.square().sum((1, 2)) for old, new in ((self.key_energy, key), (self.value_energy, value)))
        free = min(max(0, most - self.count.shape[1]), key.shape[1])
        count = torch.cat([self.count, torch.ones_like(key[:, :free, 0])], 1)
        key_sum, value_sum = (
            torch.cat([self.key_sum, key[:, :free]], 1),
            torch.cat([self.value_sum, value[:, :free]], 1),
        )
        key, value = key[:, free:], value[:, free:]
        if key.shape[1]:
            means = key_sum / count[..., None]
            nearest = (means.square().sum(-1)[:, None] - 2 * key @ means.mT).argmin(-1)
            count = count.scatter_add(1, nearest, torch.ones_like(key[..., 0]))
            key_sum = key_sum.scatter_add(1, nearest[..., None].expand_as(key), key)
            value_sum = value_sum.scatter_add(1, nearest[..., None].expand_as(value), value)
        return Codes(count, key_sum, value_sum, *energies)


def lost(all_codes: Sequence[Codes]) -> tuple[float, float]:
    """Return the share of far keys and of far values of some documents, in squared numbers, that codes do not keep.

    It is 0 where nothing is far.
    """
    energy = [sum(each) for each in zip(*(codes.energy for codes in all_codes), strict=True)] or [0.0, 0.0]
    kept = [sum(each) for each in zip(*(codes.kept_energy for codes in all_codes), strict=True)] or [0.0, 0.0]
    keys, values = (max(0.0, 1 - k / e) if e > 0 else 0.0 for k, e in zip(kept, energy, strict=True))
    return keys, values


@dataclass(frozen=True, eq=False)
class Kept:
    """What is kept of one document of one row.

    Arguments:
        document: its number.
        first: order of the first near token; a multiple of the block.
        keys, values: of the near tokens, not rotated.
        positions: theirs.
        codes: of all tokens before.
    """

    document: int
    first: int
    keys: Float[Tensor, "kv_heads near head_dim"]
    values: Float[Tensor, "kv_heads near value_dim"]
    positions: Shaped[Tensor, " near"]
    codes: Codes

    @property
    def length(self) -> int:
        """Tokens that were read."""
        return self.first + self.keys.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors that are held."""
        return sum(x.nbytes for x in (self.keys, self.values, self.positions, *self.codes.tensors))


@dataclass(frozen=True, eq=False)
class _Rule:
    """How one layer reads: its scheme, learned numbers and scale.

    Errors: SchemeError for a rotation that changes with length.
    """

    scheme: Scheme
    memory: Memory
    weights: dict[str, Weights]
    base_scale: float

    @classmethod
    def of(cls, x: Inputs) -> "_Rule":
        scheme, memory = x.scheme, x.scheme.memory
        assert memory is not None
        if len(scheme.rotation.segments(UNBOUNDED)) > 1:
            raise SchemeError(
                f"{scheme.rotation.name} changes with length, and {memory.name} does not keep the keys to rotate anew: "
                "name a rotation that does not, such as yarn"
            )
        if x.query_frame is not None or x.key_frame is not None:
            raise RefusalError(f"{memory.name} compares keys before rotation: give them unrotated")
        parts = (scheme.scale, scheme.sharpness, scheme.normalizer)
        return cls(scheme, memory, {part.slot: x.weights_of(part) for part in parts if part}, x.base_scale)

    @property
    def window(self) -> int:
        """The distance of all far pairs."""
        return int(self.scheme.distance(torch.tensor(FAR), torch.tensor(0)))

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return max(1, self.window)

    @property
    def codes(self) -> int:
        """S."""
        return self.memory.known(self.memory.codes, "codes")

    def rotated(self, x: Tensor, positions: Tensor) -> Tensor:
        """R(position) x, for x (heads, tokens, channels)."""
        spectrum = self.scheme.rotation.spectrum(x.shape[-1])
        return rotate(x[None], positions.to(x.device)[None, :, None], spectrum)[0]

    def scaled(self, scores: Tensor, order: Tensor) -> Tensor:
        """Scores (heads, queries, keys) of products, as the scheme scales and bounds them."""
        scale = self.scheme.scale(self.base_scale, self.weights["scale"])
        scores = scores * (scale[..., None].to(scores.dtype)[0] if isinstance(scale, Tensor) else scale)
        if self.scheme.sharpness:
            factor = self.scheme.sharpness((order + 1)[None, None], self.weights["sharpness"])
            scores = scores * factor[0, ..., None].to(scores)
        return self.scheme.cap(scores) if self.scheme.cap else scores


def attention(
    x: Inputs, rows: Sequence[Kept | None] | None = None
) -> tuple[Float[Tensor, "batch heads queries value_dim"], tuple[Kept | None, ...]]:
    """Return the outputs of all queries, and what is kept of each row's last document.

    Arguments:
        x: keys and values are those of new tokens alone, and queries are among them.
        rows: what is kept of each row's last document, with which the first new tokens may go on.

    Errors: SchemeError for a rotation that changes with length; RefusalError for rotated keys; ShapeError for positions
    that do not rise, and for tokens that do not go on where a document ended.
    """
    rule, batch = _Rule.of(x), len(x.query)
    outputs = x.query.new_zeros(*x.query.shape[:3], x.value.shape[3])
    ended: list[Kept | None] = list(rows or [None] * batch)
    queries, keys = x.queries.here, x.keys.here
    for row in range(batch):
        for document, new in _documents(keys, row):
            before = ended[row]
            goes_on = before is not None and before.document == document
            kept = before if goes_on and before is not None else _nothing(x.key[row], x.value[row], document)
            asked = (_of(queries.document, row) == document).nonzero()[:, 0]
            order, positions = _of(keys.order, row)[new], _of(keys.coordinate, row)[new, 0]
            _check(order, torch.cat([kept.positions[-1:].to(positions.dtype), positions]), kept)
            at = new.to(x.key.device)
            out, ended[row] = _read(
                x.query[row][:, asked.to(x.query.device)],
                Tokens(_of(queries.order, row)[asked], _of(queries.coordinate, row)[asked, 0]),
                x.key[row][:, at],
                x.value[row][:, at],
                positions,
                kept,
                rule,
            )
            outputs[row, :, asked.to(outputs.device)] = out.to(outputs.dtype)
    return outputs, tuple(ended)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Order and position of some queries of one document."""

    order: Int64[Tensor, " tokens"]
    position: Shaped[Tensor, " tokens"]

    def at(self, index: Tensor) -> "Tokens":
        """Some of them."""
        return Tokens(self.order[index], self.position[index])


def _of(places: Tensor, row: int) -> Tensor:
    return places[row if len(places) > 1 else 0]


def _documents(keys: Places, row: int) -> Iterator[tuple[int, Tensor]]:
    """Each document of a row with the indices of its tokens, in the order in which they end."""
    document = _of(keys.document, row)
    indices = {int(number): (document == number).nonzero()[:, 0] for number in document.unique() if number != PADDING}
    yield from sorted(indices.items(), key=lambda each: int(each[1][-1]))


def _nothing(key: Tensor, value: Tensor, document: int) -> Kept:
    return Kept(document, 0, key[:, :0], value[:, :0], torch.zeros(0, dtype=torch.int64), Codes.none(key, value))


def _check(order: Tensor, positions: Tensor, kept: Kept) -> None:
    if int(order[0]) != kept.length or bool((order.diff() != 1).any()):
        raise ShapeError(
            f"the new tokens of a document must go on with token {kept.length}, got {int(order[0])} … {int(order[-1])}"
        )
    if bool((positions.diff() < 1).any()):
        raise ShapeError("positions must rise by at least 1 from token to token, so that far keys are far: they do not")


def _read(
    query: Tensor, asked: Tokens, key: Tensor, value: Tensor, positions: Tensor, kept: Kept, rule: _Rule
) -> tuple[Tensor, Kept]:
    """Read new tokens of one document; all tensors are those of one row."""
    started, block = kept.length, rule.block
    keys, values = torch.cat([kept.keys, key], 1), torch.cat([kept.values, value], 1)
    positions, codes = torch.cat([kept.positions.to(positions.dtype), positions]), kept.codes
    total = kept.first + keys.shape[1]
    found, index = [], []

    def near(start: int, stop: int) -> slice:
        return slice(max(start, kept.first) - kept.first, stop - kept.first)

    for number in range(started // block, -(-total // block)):
        stop = min((number + 1) * block, total)
        seen = near((number - 1) * block, stop)
        for some in ((asked.order >= number * block) & (asked.order < stop)).nonzero()[:, 0].split(ROWS):
            if len(some):
                tokens = _Near(keys[:, seen], values[:, seen], positions[seen], kept.first + seen.start)
                found.append(_outputs(query[:, some.to(query.device)], asked.at(some), tokens, codes, rule))
                index.append(some)
        if number and stop == (number + 1) * block:
            far = near((number - 1) * block, number * block)
            codes = codes.joined(keys[:, far], values[:, far], rule.codes)
    first = max(0, total // block - 1) * block
    rest = near(first, total)
    left = Kept(kept.document, first, keys[:, rest].clone(), values[:, rest].clone(), positions[rest].clone(), codes)
    if not found:
        return query.new_zeros(*query.shape[:2], value.shape[2]), left
    back = torch.cat(index).argsort().to(query.device)
    return torch.cat(found, 1)[:, back], left


@dataclass(frozen=True, eq=False)
class _Near:
    """Keys that are seen as they are, the first of them with the order `first`."""

    keys: Tensor
    values: Tensor
    positions: Tensor
    first: int


def _outputs(query: Tensor, asked: Tokens, near: _Near, codes: Codes, rule: _Rule) -> Tensor:
    """The outputs of some queries (heads, queries, value_dim), one softmax over near keys and codes."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    query, far = query.to(dtype), codes.keys.to(dtype)
    scores = rule.scaled(_near_products(query, asked, near.keys.to(dtype), near.positions, rule), asked.order)
    order = torch.arange(near.first, near.first + near.keys.shape[1])
    columns = [scores.masked_fill((order > asked.order[:, None]).to(query.device), -inf)]
    if far.shape[1]:
        at = rule.rotated(query, torch.full_like(asked.position, rule.window))
        products = _products(at, rule.rotated(far, asked.position.new_zeros(far.shape[1])))
        counted = codes.count.to(dtype).log().repeat_interleave(len(query) // len(far), 0)
        columns.append(rule.scaled(products, asked.order) + counted[:, None])
    extra = rule.scheme.normalizer.extra_logit(len(query), rule.weights["normalizer"])
    if extra is not None:
        columns.append(extra.to(query)[:, None, None].expand(-1, len(asked.order), 1))
    weights = torch.cat(columns, -1).softmax(-1)
    values = torch.cat([near.values.to(dtype), codes.values.to(dtype)], 1)
    return _grouped(weights[..., : values.shape[1]], values)


def _near_products(query: Tensor, asked: Tokens, keys: Tensor, positions: Tensor, rule: _Rule) -> Tensor:
    """⟨R(a) q, R(c) k⟩ of every pair in the branch that holds for it; pairs of later keys may have any number."""
    scores = query.new_zeros(len(query), query.shape[1], keys.shape[1])
    for branch in rule.scheme.distance.branches():
        holds = branch.holds(asked.position[:, None], positions[None])
        if branch.holds.stop > 0 and holds.any():
            at = rule.rotated(query, branch.query(asked.position))
            products = _products(at, rule.rotated(keys, branch.key(positions)))
            scores = torch.where(holds.to(query.device), products, scores)
    return scores


def _products(query: Tensor, keys: Tensor) -> Tensor:
    """⟨q, k⟩ for heads that share key heads, (heads, queries, keys)."""
    return torch.einsum("kgtd,ksd->kgts", query.unflatten(0, (len(keys), -1)), keys).flatten(0, 1)


def _grouped(weights: Tensor, values: Tensor) -> Tensor:
    """Σ w v for heads that share value heads, (heads, queries, value_dim)."""
    return torch.einsum("kgts,ksd->kgtd", weights.unflatten(0, (len(values), -1)), values).flatten(0, 1)
