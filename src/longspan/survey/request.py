"""Request: what the user asks a survey for."""

from dataclasses import dataclass
from pathlib import Path

from longspan import bundled
from longspan.errors import InputError
from longspan.measure.diagnostic import diagnostic_of
from longspan.measure.hardware.device import AUTO, device_named
from longspan.measure.models.source import DTYPES
from longspan.measure.reduction import reduction_of
from longspan.measure.statistics.effective import NOLIMA, Claim
from longspan.notation import format_value
from longspan.task import task_of

SHORTEST = 8
"""The least length, tokens."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Arguments:
        model: a Hugging Face id, a folder, a .gguf file, or "bundled".
        command: what was typed, for the report.
        methods: schemes; the plain model is always measured too.
        tasks: texts of tasks, as in "niah_multikey_1(keys=8)"; with no losses either, retrieval.
        losses: texts of reductions, as in "last_k(k=512)"; with no tasks either, last_k.
        lengths: tokens; empty for 1, 2 and 4 times the trained length. The shortest gives the short score.
        texts: files or folders; empty for the documents of the bundled model, if that is the model.
        out: the folder of the results; None for one named after the model.
        docs: documents or examples, at most.
        claim: what "good enough" means.
        budget: minutes of measuring.
        dtype: "auto" or one of `DTYPES`.
        trained_length: tokens that the model was trained on; None for what its config says.
        device: where the model runs: auto, cpu, cuda, cuda:1 or mps.
        ray: workers of a Ray cluster that measure; None for this process.
        diagnostics: texts of diagnostics, as in "sink_mass(sinks=1)".

    Errors: InputError for an unknown name, a value out of range and a path that does not exist.
    """

    model: str
    command: str
    methods: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    texts: tuple[Path, ...] = ()
    out: Path | None = None
    docs: int = 32
    claim: Claim = NOLIMA
    budget: float = 30
    dtype: str = "float32"
    trained_length: int | None = None
    device: str = AUTO
    ray: int | None = None
    diagnostics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        written = {
            "tasks": (self.tasks, task_of),
            "losses": (self.losses, reduction_of),
            "diagnostics": (self.diagnostics, diagnostic_of),
        }
        for name, (texts, read) in written.items():  # equal settings have one text, whatever way they were written in
            values = [read(text) for text in texts]
            object.__setattr__(self, name, tuple(dict.fromkeys(format_value(value, value.name) for value in values)))
        for length in self.lengths:
            if length < SHORTEST:
                raise InputError(f"--length must be at least {SHORTEST} tokens, got {length}")
        if self.docs < 1:
            raise InputError(f"--docs must be at least 1, got {self.docs}")
        if not self.budget > 0:
            raise InputError(f"--budget must be above 0 minutes, got {self.budget:g}")
        if self.dtype not in ("auto", *DTYPES):
            raise InputError(f"--dtype must be auto, {', '.join(DTYPES)}, got {self.dtype!r}")
        device_named(self.device)
        if self.trained_length is not None and self.trained_length < SHORTEST:
            raise InputError(f"--trained-length must be at least {SHORTEST}, got {self.trained_length}")
        for path in self.texts:
            if not path.exists():
                raise InputError(f"no file or folder {str(path)!r}: give --text paths that exist")

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.out or Path(f"longspan-measure-{Path(self.model).stem}")

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where documents come from."""
        return self.texts or (bundled.documents() if self.model == bundled.NAME else ())

    @property
    def asked(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tasks and the losses."""
        named = self.tasks or self.losses or self.diagnostics
        return (self.tasks, self.losses) if named else (("retrieval",), ("last_k",))
