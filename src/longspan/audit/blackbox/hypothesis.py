"""Hypothesis: one thing that a server may do, in a form that the local model can imitate."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from longspan.audit.blackbox.prompt import WHOLE, Feeding
from longspan.plan import Plan
from longspan.rotation.dynamic_ntk import DynamicNTK
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import Rotation

PLAIN = Scheme(rotation=RoPE())
"""The model as it was loaded: its own rotation and nothing else."""


@dataclass(frozen=True)
class Hypothesis:
    """One thing that a server may do.

    Arguments:
        name: a short phrase, unique among the hypotheses of an audit.
        scheme: what the attention does, as `attached` takes it; `RoPE()` is the model's own rotation.
        feeding: which of the sent tokens the model reads.
        own_window: the sliding window of the model's own sliding layers, tokens; None for that of its config.
    """

    name: str
    scheme: Plan | Scheme = PLAIN
    feeding: Feeding = WHOLE
    own_window: int | None = None

    def scheme_of(self, length: int) -> Plan | Scheme:
        """Return the scheme for a request of `length` tokens."""
        return self.scheme

    def steps(self, lengths: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
        """Return of each request the length that its scheme is for, then those of single written tokens.

        Arguments:
            lengths: of the requests, in the order in which they were made: tokens read, and tokens written.

        What is written is read under the scheme of the request here, so that no token has a length of its own.
        """
        return [(read + written,) for read, written in lengths]


@dataclass(frozen=True)
class ByRequest(Hypothesis):
    """Dynamic NTK as transformers computes it: all rows of a request rotate with the base of the request's length.

    Where the server writes on, every token that it writes has the base of the length that is reached then, while cached
    keys keep the one that they were rotated with; and the base stays until a longer text is read, or one within the
    trained length, which may be in another request (`dynamic_rope_update` in transformers' `modeling_rope_utils`).
    """

    def steps(self, lengths: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
        """Return of each request the length whose base its prompt has, then that of each token that was written."""
        if not any(written for _, written in lengths):
            return super().steps(lengths)
        assert isinstance(self.scheme, Scheme)
        assert isinstance(self.scheme.rotation, DynamicNTK)
        trained = self.scheme.rotation.known(self.scheme.rotation.trained_length, "trained_length")
        found, longest = [], trained
        for read, written in lengths:
            of_request = list[int]()
            for reached in range(read, read + max(1, written)):
                longest = trained if reached < trained else max(longest, reached)
                of_request.append(longest)
            found.append((*of_request, *[longest] * (written > 0)))  # nobody reads the token that was written last
        return found

    def scheme_of(self, length: int) -> Plan | Scheme:
        """Return the scheme with the length written into its rotation."""
        assert isinstance(self.scheme, Scheme)
        assert isinstance(self.scheme.rotation, DynamicNTK)
        return replace(self.scheme, rotation=replace(self.scheme.rotation, length=length))


@dataclass(frozen=True)
class Asked:
    """What the server was asked to do, and what is known about the model: all that hypotheses are made from.

    Arguments:
        text: the scheme as it was written, or "plain".
        plan: the resolved plan.
        trained_length: L, tokens that the model was trained on before any rescaling.
        theta: base of the model's rotary frequencies; None for a model without.
        rotary_dim: channels that rotate in each head.
        rescaled: whether the checkpoint has a rescaling of its own.
        own_window: the sliding window of the model's config, tokens; None where it has none.
        opening: the special tokens before every text.
        lengths: of the requests, tokens.
    """

    text: str
    plan: Plan
    trained_length: int
    theta: float | None
    rotary_dim: int
    rescaled: bool
    own_window: int | None
    opening: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def scheme(self) -> Scheme | None:
        """The scheme, where all layers have the same."""
        return self.plan.schemes[0] if len(self.plan.schemes) == 1 else None

    @property
    def factor(self) -> float | None:
        """The factor that the asked rotation stretches by, where it has one."""
        found = getattr(self.scheme.rotation, "factor", None) if self.scheme else None
        return None if found is None or found == 1 else float(found)

    @property
    def hypothesis(self) -> Hypothesis:
        """The hypothesis that the server does what it was asked to do."""
        return Hypothesis(self.text, self.plan)

    def rotating(self, rotation: object) -> Scheme:
        """Return the asked scheme with another rotation; where layers differ, that rotation alone."""
        return replace(self.scheme or PLAIN, rotation=rotation)


class Family(ABC):
    """A kind of mistake: one file in the folder `hypotheses` defines one."""

    @abstractmethod
    def members(self, asked: Asked) -> Iterator[Hypothesis]:
        """Yield the mistakes of this kind that make sense for what was asked; none where it does not apply."""


def distinct(found: Sequence[Hypothesis], asked: Asked) -> tuple[Hypothesis, ...]:
    """Return hypotheses without those that do the same as an earlier one, whatever their rotation is called."""
    kept: dict[tuple[object, ...], Hypothesis] = {}
    for each in found:
        plan = Plan.everywhere(each.scheme) if isinstance(each.scheme, Scheme) else each.scheme
        layers = tuple(_done(scheme, asked) if isinstance(scheme, Scheme) else scheme for scheme in plan.layers)
        kept.setdefault((type(each), layers, each.feeding, each.own_window), each)
    return tuple(kept.values())


def _done(scheme: Scheme, asked: Asked) -> object:
    """What a scheme does to texts of the asked lengths: frequencies and gain in place of a rotation's name."""
    rotation = scheme.rotation
    if rotation == RoPE() or rotation.decays:  # the model's own rotation is not written down here
        return scheme
    numbers = tuple(
        (part.start, part.stop, *(f"{x:.9g}" for x in (part.rotation.gain, *_frequencies(part.rotation, asked))))
        for part in rotation.segments(max(asked.lengths))
    )
    return replace(scheme, rotation=RoPE()), numbers


def _frequencies(rotation: Rotation, asked: Asked) -> list[float]:
    return rotation.frequencies(asked.rotary_dim).tolist()
