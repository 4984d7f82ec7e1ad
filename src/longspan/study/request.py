"""Request: what the user asks a study for."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from longspan import bundled
from longspan.errors import InputError
from longspan.measure.hardware.device import AUTO, device_named
from longspan.measure.models.source import DTYPES

SHORTEST_TRAINING = 8
"""The least trained length, tokens."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Arguments:
        model: a Hugging Face id, a folder, a .gguf file, or "bundled".
        length: tokens to read, N.
        command: what was typed, for the report.
        methods: schemes to try; empty for the candidates that suit the model.
        texts: files or folders; empty for the documents of the bundled model.
        out: the folder of the results; None for one named after model and length.
        docs: documents to judge on.
        tolerance: nats per token that a method may cost on short texts.
        budget: minutes of measuring.
        dtype: "auto" or one of `DTYPES`.
        trained_length: tokens the model was trained on; None for what its config says.
        device: where the model runs: auto, cpu, cuda, cuda:1 or mps.
        ray: workers of a Ray cluster that measure; None for this process.

    Errors: InputError for a value out of range and a path that does not exist.
    """

    model: str
    length: int
    command: str
    methods: tuple[str, ...] = ()
    texts: tuple[Path, ...] = ()
    out: Path | None = None
    docs: int = 8
    tolerance: float = 0.02
    budget: float = 30
    dtype: str = "auto"
    trained_length: int | None = None
    device: str = AUTO
    ray: int | None = None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InputError(f"--to must be at least 1 token, got {self.length}")
        if self.docs < 1:
            raise InputError(f"--docs must be at least 1, got {self.docs}")
        if not 0 <= self.tolerance < inf:
            raise InputError(f"--tolerance must be at least 0 and finite, got {self.tolerance:g}")
        if not self.budget > 0:
            raise InputError(f"--budget must be above 0 minutes, got {self.budget:g}")
        if self.dtype not in ("auto", *DTYPES):
            raise InputError(f"--dtype must be auto, {', '.join(DTYPES)}, got {self.dtype!r}")
        device_named(self.device)
        if self.trained_length is not None and self.trained_length < SHORTEST_TRAINING:
            raise InputError(f"--trained-length must be at least {SHORTEST_TRAINING}, got {self.trained_length}")
        if not self.texts and self.model != bundled.NAME:
            raise InputError("give your documents: --text PATH, files or folders, each file longer than --to tokens")
        try:
            str(self.folder.resolve()).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"no model can be written to {self.folder}, whose name is not valid UTF-8: give another --out"
            ) from None
        for path in self.texts:
            if not path.exists():
                raise InputError(f"no file or folder {str(path)!r}: give --text paths that exist")

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.out or Path(f"longspan-{Path(self.model).stem}-{self.length}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where documents come from."""
        return self.texts or bundled.documents()
