"""Search over plans: which layer gets which of a few schemes.

The search starts at the best scheme that all layers share. Layer by layer, from the first on, every other scheme is
tried in that layer alone, and the best is kept if it costs less. It ends when a pass over all layers changes nothing.

Source: coordinate descent, the exploratory moves of Hooke & Jeeves 1961, "Direct search", JACM 8:212. A window in most
layers and all tokens in few: Su 2023, "HWFA", kexue.fm/archives/9603, which trains with it.
"""

from collections.abc import Sequence
from dataclasses import replace

from longspan.errors import InputError, RefusalError
from longspan.geometry import Geometry
from longspan.notation import format_plan, format_scheme, parts
from longspan.plan import Plan
from longspan.pretrained.anatomy.layers import Anatomy
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme


def choices(texts: Sequence[str], geometry: Geometry, length: int) -> tuple[Scheme, ...]:
    """Return the schemes that layers choose from, every number filled in.

    Arguments:
        texts: schemes; none for three that need no training: the model's own, a local window, and ReRoPE.

    Errors: InputError for fewer than two different schemes; those of `parts` for a text that is none.
    """
    trained = geometry.trained_length
    usual = ("rope", f"rope + window({max(1, trained // 2)})", f"rerope(window={max(1, trained // 4)})")
    found = dict.fromkeys(_scheme(text, geometry, length) for text in texts or usual)
    if len(found) < 2:
        raise InputError(f"layers choose between 2 schemes at least, got {len(found)}: add --scheme EXPR")
    return tuple(found)


def _scheme(text: str, geometry: Geometry, length: int) -> Scheme:
    """A scheme; one without a rotation keeps the model's own, as for a scheme of all layers."""
    named = parts(text, geometry)
    scheme = Scheme.of(*(part.fill(geometry, length) if part != RoPE() else part for part in named))
    own = scheme.rotation == NoPE() and NoPE() not in named
    return replace(scheme, rotation=RoPE()) if own else scheme


class LayerSearch:
    """Coordinate descent over the layers that see everything (`longspan.search.strategies.strategy.Strategy`).

    Arguments:
        schemes: what layers choose from.
        depth: layers of the model.
        searched: the layers that may differ.
    """

    def __init__(self, schemes: Sequence[Scheme], depth: int, searched: Sequence[int]) -> None:
        self.schemes, self.searched = tuple(schemes), tuple(searched)
        self._plan, self._cost = [0] * depth, 0.0
        self._layer, self._unchanged = 0, 0
        self._asked: list[list[int]] = []

    @classmethod
    def of(cls, anatomy: Anatomy, schemes: Sequence[Scheme]) -> "LayerSearch":
        """Return the search of a model.

        Errors: RefusalError where fewer than two layers see everything.
        """
        searched = [i for i, layer in enumerate(anatomy.layers) if layer.local_size is None]
        if len(searched) < 2:
            raise RefusalError(
                f"a search over layers needs 2 that see everything, this model has {len(searched)} of them"
            )
        return cls(schemes, len(anatomy.layers), searched)

    @property
    def starts(self) -> tuple[str, ...]:
        """Each scheme in all layers."""
        return tuple(map(format_scheme, self.schemes))

    @property
    def batch(self) -> int:
        """Every other scheme in one layer."""
        return len(self.schemes) - 1

    def begin(self, costs: Sequence[float]) -> None:
        """Start from the best scheme."""
        best = min(range(len(costs)), key=costs.__getitem__)
        self._plan, self._cost = [best] * len(self._plan), costs[best]

    def ask(self) -> tuple[str, ...]:
        """Return the plans that differ in the next layer; none after a pass that changed nothing."""
        if self._unchanged == len(self.searched):
            return ()
        layer = self.searched[self._layer]
        others = [choice for choice in range(len(self.schemes)) if choice != self._plan[layer]]
        self._asked = [[*self._plan[:layer], choice, *self._plan[layer + 1 :]] for choice in others]
        return tuple(map(self._text, self._asked))

    def tell(self, costs: Sequence[float]) -> None:
        """Keep the best plan, and move on to the next layer."""
        best = min(range(len(costs)), key=costs.__getitem__)
        changed = costs[best] < self._cost
        if changed:
            self._plan, self._cost = self._asked[best], costs[best]
        self._unchanged = 1 if changed else self._unchanged + 1
        self._layer = (self._layer + 1) % len(self.searched)

    def _text(self, plan: Sequence[int]) -> str:
        """The text of a plan; where its searched layers agree, that of their scheme."""
        if len({plan[layer] for layer in self.searched}) == 1:
            return format_scheme(self.schemes[plan[self.searched[0]]])
        return format_plan(Plan.per_layer([self.schemes[choice] for choice in plan]))
