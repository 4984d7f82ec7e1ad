"""Request: what the user asks a search for."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal, get_args

from longspan import bundled
from longspan.errors import InputError
from longspan.geometry import Geometry
from longspan.measure.hardware.device import AUTO, device_named
from longspan.measure.models.source import DTYPES
from longspan.search.division import FEWEST_SEARCHED
from longspan.study.request import SHORTEST_TRAINING

Over = Literal["frequencies", "layers"]
"""What a search may change."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Arguments:
        model: a Hugging Face id, a folder, a .gguf file, or "bundled".
        length: tokens to read, N.
        command: what was typed, for the summary.
        over: what is searched.
        schemes: for a search over layers, what they choose from; empty for the usual ones.
        against: methods that the result is compared with; empty for those that the search starts from.
        texts: files or folders; empty for the documents of the bundled model.
        out: the folder of the results; None for one named after model and length.
        docs: documents to judge on.
        search_docs: documents to search on.
        tolerance: nats per token that a method may cost on short texts.
        budget: minutes of measuring.
        dtype: "auto" or one of `DTYPES`.
        trained_length: tokens the model was trained on; None for what its config says.
        device: where the model runs: auto, cpu, cuda, cuda:1 or mps.
        seed: of the candidates.

    Errors: InputError for a value out of range and a path that does not exist.
    """

    model: str
    length: int
    command: str
    over: Over = "frequencies"
    schemes: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    texts: tuple[Path, ...] = ()
    out: Path | None = None
    docs: int = 8
    search_docs: int = 6
    tolerance: float = 0.02
    budget: float = 30
    dtype: str = "auto"
    trained_length: int | None = None
    device: str = AUTO
    seed: int = 0

    def __post_init__(self) -> None:
        if self.over not in get_args(Over):
            raise InputError(f"--over must be {' or '.join(get_args(Over))}, got {self.over!r}")
        if self.schemes and self.over != "layers":
            raise InputError("--scheme names what layers choose from: add --over layers, or leave it out")
        if self.length < 1:
            raise InputError(f"--to must be at least 1 token, got {self.length}")
        if self.docs < 2:
            raise InputError(f"--docs must be at least 2, got {self.docs}")
        if self.search_docs < FEWEST_SEARCHED:
            raise InputError(f"--search-docs must be at least {FEWEST_SEARCHED}, got {self.search_docs}")
        if not 0 <= self.tolerance < inf:
            raise InputError(f"--tolerance must be at least 0 and finite, got {self.tolerance:g}")
        if not 0 < self.budget < inf:
            raise InputError(f"--budget must be above 0 minutes and finite, got {self.budget:g}")
        if self.dtype not in ("auto", *DTYPES):
            raise InputError(f"--dtype must be auto, {', '.join(DTYPES)}, got {self.dtype!r}")
        device_named(self.device)
        if self.trained_length is not None and self.trained_length < SHORTEST_TRAINING:
            raise InputError(f"--trained-length must be at least {SHORTEST_TRAINING}, got {self.trained_length}")
        if self.seed < 0:
            raise InputError(f"--seed must be at least 0, got {self.seed}")
        if not self.texts and self.model != bundled.NAME:
            raise InputError("give your documents: --text PATH, files or folders, each file longer than --to tokens")
        for path in self.texts:
            if not path.exists():
                raise InputError(f"no file or folder {str(path)!r}: give --text paths that exist")

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.out or Path(f"longspan-search-{Path(self.model).stem}-{self.length}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where documents come from."""
        return self.texts or bundled.documents()

    def check_length(self, geometry: Geometry) -> None:
        """Compare N with the length that the model was trained on.

        Errors: InputError where there is nothing to extend.
        """
        if self.length <= geometry.trained_length:
            raise InputError(
                f"--to {self.length} changes nothing: the model was trained on {geometry.trained_length} tokens; "
                "give a longer --to, or --trained-length if that number is wrong"
            )
