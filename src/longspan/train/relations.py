"""Relations that articles report: did they hold in a grid? One sentence each, with the numbers of every seed.

    R2    RoPE loses at least one nat at 8 L                                      9603, 9431
    R3    under a window of L the loss stays                                      9431
    R4    position interpolation without training is worse than NTK, and loses more than a nat at L      9675
    R5    ReRoPE with a window of L/4 … L/2 stays, and is far below RoPE at 8 L   9708
    R6    log n improves ReRoPE at 8 L                                            9708
    R7    ALiBi stays                                                             arXiv:2108.12409
    R8    more context helps within the trained length: L against L/4
    R12   HWFA stays                                                              9603
    R13   RoPE stays up to 9/8 L, and has lost at least half a nat at 2 L         9431
    R14   no bias (ALiBi, KERPLE, Sandwich) beats RoPE under a window of L at 8 L by more than 0.05      9431
    R15   xPos alone does not stay; under a window of L it does, as well as under BCA                    9431
    RK    key normalization loses less than RoPE at 8 L                           9859

Of a grid whose models answer a task with a true global dependence (`first_token`, `occurs`):

    R18   RoPE is above chance at L by 20 points or more; under a window of L/8, trained so or not, by at most 10   9431

The other relations are identities, which tests hold for every model: `LAWS` names them.

"Stays" is at most 0.05 nats more at 8 L than at L, 0.1 for methods without training, on the same tokens. A relation
whose designs were not trained, or not measured at 8 L, says so: it neither held nor failed.

Source: Su 2023 and 2024, kexue.fm/archives/ and the number of the article.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from longspan.errors import LongspanError
from longspan.measure.models.model import PLAIN
from longspan.notation import parse
from longspan.slots import Part
from longspan.train.comparison import Row
from longspan.train.data.choosing import chance
from longspan.train.grid import Cell

FAR = 8
"""Times the trained length."""
NEAR = 9 / 8
"""Times the trained length: where Su still finds RoPE whole (1.1 to 1.2)."""
LAWS = {
    "R1": ("A neutral setting changes nothing.", "tests/pretrained/test_attach.py"),
    "R9": ("Without a first token RoPE, ALiBi and NoPE cannot count.", "tests/contract/test_position_probe.py"),
    "R10": ("A needle beyond (w − 1) · layers + 1 tokens changes nothing.", "tests/mask/test_window.py"),
    "R11": ("Leaky ReRoPE with k = 1 is RoPE, with k → ∞ ReRoPE.", "tests/distance/test_leaky_rerope.py"),
    "R12": ("In HWFA a far token acts through the last layer only.", "tests/recipes/test_hwfa.py"),
    "R16": ("A window is truncation in one layer and not in two.", "tests/mask/test_window.py"),
    "R17": ("With ALiBi in both directions left and right look alike.", "tests/bias/test_alibi.py"),
    "R19": ("Sandwich is attention with position embeddings beside q and k.", "tests/bias/test_sandwich.py"),
}
"""Relations that no training can break, and where they are tested."""
STAYS, STAYS_UNTRAINED = 0.05, 0.1
"""Nats that a loss may rise from L to 8 L."""


@dataclass(frozen=True)
class Verdict:
    """What came of one relation.

    Arguments:
        name: as in R5.
        held: whether it held for every seed; None where the grid cannot say.
        sentence: what was found, or what is missing.
    """

    name: str
    held: bool | None
    sentence: str


class MissingError(LongspanError):
    """Something that a relation needs was not measured; the message says what."""


@dataclass(frozen=True)
class Results:
    """The losses of a grid, by the plan of its designs and the method at test.

    Arguments:
        rows: of the table.
        plans: of the designs, by name.
        length: L, tokens; of a task its longest trained length, symbols.
        chance: of a task, the share of answers that guesses have right.
    """

    rows: Sequence[Row]
    plans: dict[str, str]
    length: int
    chance: float = 0.0

    def losses(self, plan: str, method: str, times: float) -> dict[int, float]:
        """Return the loss of each seed at a multiple of the trained length.

        Errors: MissingError.
        """
        tokens = int(self.length * times)
        for row in self._rows(plan, method):
            if not row.learned:
                raise MissingError(f"{row.design} was not trained: its loss at L is not surely below that at L/4")
            found = {each.seed: each.loss[tokens] for each in row.outcomes if tokens in each.loss}
            if found and len(found) == len(row.outcomes):
                return found
        raise MissingError(f"{plan} under {method} was not measured at {tokens} tokens")

    def above_chance(self, plan: str, method: str) -> list[float]:
        """Return for each seed the share of whole answers at the trained length, less that of guesses.

        Errors: MissingError.
        """
        for row in self._rows(plan, method):
            found = [each.whole[self.length].value for each in row.outcomes if self.length in each.whole]
            if found and len(found) == len(row.outcomes):
                return [share - self.chance for share in found]
        raise MissingError(f"{plan} under {method} was not asked at {self.length} symbols")

    def has(self, plan: str) -> bool:
        """Whether a design has a plan."""
        return any(self._has(design, plan) for design in self.plans)

    def rise(self, plan: str, method: str, times: float = FAR) -> list[float]:
        """Return for each seed by how much the loss rises from L to a multiple of it.

        Errors: MissingError.
        """
        return list(self._rises(plan, method, times).values())

    def _rises(self, plan: str, method: str, times: float) -> dict[int, float]:
        near, far = self.losses(plan, method, 1), self.losses(plan, method, times)
        return {seed: far[seed] - near[seed] for seed in far if seed in near}

    def above(self, first: tuple[str, str], second: tuple[str, str], times: float) -> list[float]:
        """Return for each seed that both have by how much the first loss is above the second.

        Errors: MissingError.
        """
        return self._paired(first, second, self.losses(*first, times), self.losses(*second, times))

    def rises_more(self, first: tuple[str, str], second: tuple[str, str]) -> list[float]:
        """Return for each seed that both have by how much more the first loss rises from L to 8 L.

        Errors: MissingError.
        """
        return self._paired(first, second, self._rises(*first, FAR), self._rises(*second, FAR))

    def _paired(
        self, first: tuple[str, str], second: tuple[str, str], one: dict[int, float], other: dict[int, float]
    ) -> list[float]:
        found = [one[seed] - other[seed] for seed in one if seed in other]
        if not found:
            names = " and ".join(f"{plan} under {method}" for plan, method in (first, second))
            raise MissingError(f"{names} were measured with no seed in common")
        return found

    def _rows(self, plan: str, method: str) -> Iterator[Row]:
        """The rows of all designs that have a plan, under a method."""
        for row in self.rows:
            if self._has(row.design, plan) and agrees(row.method, method):
                yield row

    def _has(self, design: str, plan: str) -> bool:
        """Whether a design has a plan, or that of an encoder."""
        own = self.plans.get(design, "")
        return agrees(own, plan) or agrees(own, f"{plan} + bidirectional")


def agrees(text: str, wanted: str) -> bool:
    """Return whether a text names a wanted scheme; numbers that the wanted one leaves open may be any.

    A measurement names the numbers that were filled in, as the theta of `ntk(factor=8, theta=10000)`.
    """
    if text == wanted or PLAIN in (text, wanted):
        return text == wanted
    try:
        one, other = parse(text), parse(wanted)
    except LongspanError:  # a plan
        return False
    return all(_fits(getattr(one, slot.name), getattr(other, slot.name)) for slot in fields(one))


def _fits(part: Part | None, wanted: Part | None) -> bool:
    if part is None or type(part) is not type(wanted):
        return part is wanted
    return all(getattr(wanted, f.name) in (None, getattr(part, f.name)) for f in fields(part))


def verdicts(cells: Iterable[Cell], rows: Sequence[Row]) -> tuple[Verdict, ...]:
    """Return what came of every relation that a grid can say something about."""
    cells = tuple(cells)
    plans = {cell.name: cell.settings.design.plan for cell in cells if _plain(cell)}
    data, length = cells[0].settings.data, cells[0].settings.training.length
    if data.task is not None:
        own = DEPENDENCE if data.task.partition("(")[0] in GLOBAL else {}
        results = Results(rows, plans, data.longest, chance(data.task))
    else:
        own = ENCODERS if cells[0].settings.has_exam else RELATIONS
        results = Results(rows, plans, length)
    return tuple(_verdict(name, relation, results) for name, relation in own.items())


def _plain(cell: Cell) -> bool:
    """Whether a design is its plan and nothing else."""
    return cell.settings.design.absolute is None and cell.settings.design.positions == "contiguous"


def _verdict(name: str, relation: "Relation", results: Results) -> Verdict:
    try:
        claims = relation(results)
    except MissingError as error:
        return Verdict(name, None, str(error))
    held = all(claim.holds for claim in claims)
    return Verdict(name, held, "; ".join(claim.sentence for claim in claims))


@dataclass(frozen=True)
class Claim:
    """A number of each seed, and what it must be.

    Arguments:
        what: the number in words.
        values: of each seed.
        least, most: its limits.
    """

    what: str
    values: Sequence[float]
    least: float = float("-inf")
    most: float = float("inf")

    @property
    def holds(self) -> bool:
        """Whether every seed is within the limits."""
        return all(self.least <= value <= self.most for value in self.values)

    @property
    def sentence(self) -> str:
        """The claim with its numbers."""
        wanted = f"at least {self.least:g}" if self.least > float("-inf") else f"at most {self.most:g}"
        return f"{self.what} {', '.join(f'{value:+.3f}' for value in self.values)} ({wanted})"


Relation = Callable[[Results], Sequence[Claim]]


def _rope(found: Results) -> Sequence[Claim]:
    return [Claim("RoPE rises by", found.rise("rope", PLAIN), least=1.0)]


def _window(found: Results) -> Sequence[Claim]:
    return [Claim("under a window of L RoPE rises by", found.rise("rope", f"window({found.length})"), most=STAYS)]


def _interpolation(found: Results) -> Sequence[Claim]:
    pi, ntk = ("rope", f"linear(factor={FAR})"), ("rope", f"ntk(factor={FAR})")
    return [
        Claim("at L interpolation is above NTK by", found.above(pi, ntk, 1), least=0.0),
        Claim("and above RoPE by", found.above(pi, ("rope", PLAIN), 1), least=1.0),
    ]


def _rerope(found: Results) -> Sequence[Claim]:
    claims = list[Claim]()
    for window in (found.length // 4, found.length // 2):
        own = f"rerope(window={window})"
        claims += [
            Claim(f"{own} rises by", found.rise("rope", own), most=STAYS_UNTRAINED),
            Claim("and is above RoPE at 8 L by", found.above(("rope", own), ("rope", PLAIN), FAR), most=-0.5),
        ]
    return claims


def _log_n(found: Results) -> Sequence[Claim]:
    own = f"rerope(window={found.length // 2})"
    changed = found.above(("rope", f"{own} + log_length"), ("rope", own), FAR)
    return [Claim(f"log n changes {own} by", changed, most=0.0)]


def _alibi(found: Results) -> Sequence[Claim]:
    return [Claim("ALiBi rises by", found.rise("alibi", PLAIN), most=STAYS)]


def _context(found: Results) -> Sequence[Claim]:
    full, quarter = found.losses("rope", PLAIN, 1), found.losses("rope", PLAIN, 0.25)
    return [Claim("RoPE at L is above itself at L/4 by", [full[seed] - quarter[seed] for seed in full], most=0.0)]


def _hwfa(found: Results) -> Sequence[Claim]:
    return [Claim("HWFA rises by", found.rise("hwfa", PLAIN), most=STAYS)]


def _soon(found: Results) -> Sequence[Claim]:
    return [
        Claim("RoPE rises to 9/8 L by", found.rise("rope", PLAIN, NEAR), most=STAYS),
        Claim("and to 2 L by", found.rise("rope", PLAIN, 2), least=0.5),
    ]


def _biases(found: Results) -> Sequence[Claim]:
    baseline = ("rope", f"window({found.length})")
    biases = [bias for bias in ("alibi", "kerple_log", "kerple_power", "sandwich") if found.has(bias)]
    if not biases:
        raise MissingError("no design has a bias")
    return [
        Claim(f"{bias} is above RoPE under a window by", found.above((bias, PLAIN), baseline, FAR), least=-0.05)
        for bias in biases
    ]


def _xpos(found: Results) -> Sequence[Claim]:
    window, blocks = ("xpos", f"window({found.length})"), ("xpos", f"blockwise({found.length})")
    return [
        Claim("xPos rises by", found.rise("xpos", PLAIN), least=0.5),
        Claim("under a window by", found.rise(*window), most=STAYS),
        Claim("a window is above BCA by", found.above(window, blocks, FAR), most=0.02),
    ]


def _key_norm(found: Results) -> Sequence[Claim]:
    more = found.rises_more(("rope + key_norm", PLAIN), ("rope", PLAIN))
    return [Claim("key normalization rises more than RoPE by", more, most=0.0)]


def _dependence(found: Results) -> Sequence[Claim]:
    window = f"window({found.length // 8})"
    return [
        Claim("RoPE is above chance by", found.above_chance("rope", PLAIN), least=0.2),
        Claim(f"trained under {window} by", found.above_chance(f"rope + {window}", PLAIN), most=0.1),
        Claim(f"and with {window} at test by", found.above_chance("rope", window), most=0.1),
    ]


GLOBAL = ("first_token", "occurs")
"""Tasks whose answer may be as far away as the text is long."""
DEPENDENCE: dict[str, Relation] = {"R18": _dependence}
"""Relations of a grid that answers one of them."""
RELATIONS: dict[str, Relation] = {
    "R2": _rope, "R3": _window, "R4": _interpolation, "R5": _rerope, "R6": _log_n, "R7": _alibi, "R8": _context,
    "R12": _hwfa, "R13": _soon, "R14": _biases, "R15": _xpos, "RK": _key_norm,
}  # fmt: skip
"""Relations of a grid that reads texts."""
ENCODERS = {name: RELATIONS[name] for name in ("R2", "R3", "R5", "R7", "R8", "R13", "R14")}
"""Those of a grid that fills in hidden tokens."""
