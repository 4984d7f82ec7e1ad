"""What a training run is: a TOML file as frozen values, with defaults and checks.

[model]                         # a config of transformers; sizes that the data give are filled in
architecture = "llama"
hidden_size = 256

[design]
plan = "rope + key_norm"
positions = "contiguous"

[data]
train = ["novels"]
test = ["held-out"]
tokenizer = "bytes"

[training]
length = 512
steps = 2000
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from longspan.errors import InputError, nearest, shown

_Table = TypeVar("_Table")


@dataclass(frozen=True)
class ModelTable:
    """The table `[model]`.

    Arguments:
        architecture: a model type of transformers, as in "llama".
        config: fields of its config, by name.
    """

    architecture: str = "llama"
    config: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class DesignTable:
    """The table `[design]`.

    Arguments:
        plan: a scheme or a plan, as in "alibi" or "hwfa".
        absolute: what is added to embeddings, as in "sinusoidal" or "learned"; None for nothing.
        positions: what positions a row is given: "contiguous", "random(span=4096)" or "equal_mean(mean=512)".
        seed: of what the plan learns; None for the seed of the training.
    """

    plan: str = "rope"
    absolute: str | None = None
    positions: str = "contiguous"
    seed: int | None = None


@dataclass(frozen=True)
class DataTable:
    """The table `[data]`.

    Arguments:
        train, test: files or folders of text. No file may be in both.
        tokenizer: "bytes", or whatever `AutoTokenizer` loads.
        documents: "apart": no token sees another document; "joined": the texts are one text.
        task: a task of `longspan.tasks` in the place of texts, as in "reverse"; its answers are trained and tested.
        shortest, longest: symbols of a training example of the task.
        alpha: segmentations of the training texts are sampled, with their scores times this: 1 for the law of the
            tokenizer's unigram model, 0 for all equally often; None for the tokenizer's own segmentation.
        copies: sampled segmentations of each text.
    """

    train: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    tokenizer: str = "bytes"
    documents: Literal["apart", "joined"] = "apart"
    task: str | None = None
    shortest: int = 1
    longest: int = 40
    alpha: float | None = None
    copies: int = 4

    def __post_init__(self) -> None:
        """Refuse data that cannot be.

        Errors: InputError.
        """
        if not self.train and self.task is None:
            raise InputError("data.train is missing: name texts, as in train = ['novels'], or a task in data.task")
        if self.task is not None and (self.train or self.test):
            raise InputError("data.task makes its own examples: leave out data.train and data.test")
        if self.copies < 1 or (self.alpha is not None and not self.alpha >= 0):
            raise InputError(f"data.alpha must be at least 0 and copies at least 1, got {self.alpha} and {self.copies}")
        if not 1 <= self.shortest <= self.longest:
            raise InputError(f"data.shortest must be 1 … longest, got {self.shortest} and {self.longest}")


@dataclass(frozen=True)
class TrainingTable:
    """The table `[training]`.

    Arguments:
        length: L, tokens of a row.
        steps: of the optimizer.
        batch: rows of a step.
        accumulate: equal parts that a step's rows are read in, one after the other.
        optimizer: "adamw", or "muon" for the matrices inside the layers and AdamW for the rest.
        rate: the highest learning rate.
        weight_decay: of matrices.
        schedule: "cosine", or "wsd": constant, then linear decay.
        warmup: steps of linear increase.
        decay_from: share of the run after which "wsd" decays.
        lowest: the last learning rate, as a share of the highest.
        clip: the largest norm of a step's gradient.
        average: decay per step of the running average of the weights, which is what is kept; 0 for the last weights.
        objective: what is predicted of a text: "next": each token from those before it; "masked": hidden tokens from
            all others, by a plan that is bidirectional.
        hidden: the share of tokens that are hidden.
        loss: a loss of `longspan.train.losses`.
        dtype: of matrix products; weights are float32.
        checkpointing: whether activations are computed again in the backward pass.
        seed: of weights and rows.
        save_every: steps between two checkpoints.
    """

    length: int = 512
    steps: int = 1000
    batch: int = 8
    accumulate: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    rate: float = 1e-3
    weight_decay: float = 0.1
    schedule: Literal["cosine", "wsd"] = "cosine"
    warmup: int = 20
    decay_from: float = 0.5
    lowest: float = 0.1
    clip: float = 1.0
    average: float = 0.0
    objective: Literal["next", "masked"] = "next"
    hidden: float = 0.15
    loss: str = "cross_entropy"
    dtype: Literal["float32", "bfloat16"] = "float32"
    checkpointing: bool = False
    seed: int = 0
    save_every: int = 100

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have.

        Errors: InputError.
        """
        for name, least in {"length": 2, "steps": 1, "batch": 1, "accumulate": 1, "warmup": 0, "save_every": 1}.items():
            if getattr(self, name) < least:
                raise InputError(f"training.{name} must be at least {least}, got {getattr(self, name)}")
        if self.batch % self.accumulate:
            raise InputError(f"training.accumulate must divide batch {self.batch}, got {self.accumulate}")
        if not self.rate > 0 or not self.clip > 0:
            raise InputError(f"training.rate and clip must be above 0, got {self.rate:g} and {self.clip:g}")
        for name in ("average", "decay_from", "lowest"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"training.{name} must be 0 … 1, got {getattr(self, name):g}")
        if not 0 < self.hidden < 1:
            raise InputError(f"training.hidden must lie between 0 and 1, got {self.hidden:g}")


@dataclass(frozen=True)
class PretrainingTable:
    """The table `[pretraining]`: a first stage in which the inputs of a task are predicted, not its answers.

    Arguments:
        steps: of that stage; 0 for none.
        objective: as in `[training]`.
        hidden: the share of tokens that are hidden.
    """

    steps: int = 0
    objective: Literal["next", "masked"] = "next"
    hidden: float = 0.15

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have.

        Errors: InputError.
        """
        if self.steps < 0 or not 0 < self.hidden < 1:
            raise InputError(
                "pretraining.steps must be at least 0 and hidden lie between 0 and 1, got "
                f"{self.steps} and {self.hidden:g}"
            )


@dataclass(frozen=True)
class TestTable:
    """The table `[test]`: what the trained model is measured on, as by `longspan measure`.

    Arguments:
        lengths: tokens; empty for 1, 2, 4 and 8 times the trained length.
        methods: schemes beside the design itself.
        losses: names of losses.
        docs: documents, or examples of a task of each length.
        positions: what positions hidden tokens and answers are tested at, as in "grid(span=4096)".
    """

    lengths: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    losses: tuple[str, ...] = ("last_k", "repetition")
    docs: int = 16
    positions: str = "contiguous"


@dataclass(frozen=True)
class Settings:
    """A training run.

    Arguments:
        data, model, design, training, test, pretraining: its tables.
    """

    data: DataTable
    model: ModelTable = field(default_factory=ModelTable)
    design: DesignTable = field(default_factory=DesignTable)
    training: TrainingTable = field(default_factory=TrainingTable)
    test: TestTable = field(default_factory=TestTable)
    pretraining: PretrainingTable = field(default_factory=PretrainingTable)

    def __post_init__(self) -> None:
        """Refuse tables that do not fit each other.

        Errors: InputError.
        """
        if self.pretraining.steps and self.data.task is None:
            raise InputError("pretraining predicts the inputs of a task before its answers: give data.task")

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths to test: tokens, or symbols of a task."""
        trained = self.training.length if self.data.task is None else self.data.longest
        return self.test.lengths or tuple(trained * multiple for multiple in (1, 2, 4, 8))

    @property
    def has_exam(self) -> bool:
        """Whether tests ask for hidden tokens or answers, which `longspan measure` does not."""
        return self.data.task is not None or self.training.objective == "masked"

    @property
    def steps(self) -> int:
        """The steps of all stages."""
        return self.pretraining.steps + self.training.steps

    def json(self) -> dict[str, Any]:
        """Return it as JSON, every default written out."""
        found = asdict(self)
        found["model"]["config"] = dict(self.model.config)
        return found


def read_settings(path: Path) -> Settings:
    """Read a TOML file; paths in it are relative to its folder.

    Errors: InputError for a file that cannot be read, an unknown name (with the nearest known one) and a wrong type.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML file: {error}") from None
    return settings_of(given, path.parent)


def settings_of(given: Mapping[str, Any], base: Path = Path()) -> Settings:
    """Make settings of tables; paths of texts are relative to `base`.

    Errors: InputError, as for `read_settings`.
    """
    tables = {f.name: f for f in fields(Settings)}
    check_names(given, tables, "table")
    if "data" not in given:
        raise InputError("the table [data] is missing: name texts, as in train = ['novels'], or a task")
    for name, value in given.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a table, written as [{name}], got {shown(value)}")
    model = dict(given.get("model", {}))
    data = dict(given["data"])
    for name in ("train", "test"):
        if isinstance(data.get(name), list):
            data[name] = [str(base / text) for text in data[name]]
    if isinstance(tokenizer := data.get("tokenizer"), str) and (base / tokenizer).is_dir():
        data["tokenizer"] = str(base / tokenizer)
    architecture = model.pop("architecture", "llama")
    return Settings(
        data=_table(DataTable, "data", data),
        model=ModelTable(architecture, tuple(sorted(model.items()))),
        design=_table(DesignTable, "design", given.get("design", {})),
        training=_table(TrainingTable, "training", given.get("training", {})),
        test=_table(TestTable, "test", given.get("test", {})),
        pretraining=_table(PretrainingTable, "pretraining", given.get("pretraining", {})),
    )


def _table(kind: type[_Table], name: str, given: Mapping[str, Any]) -> _Table:
    """Make the value of a table."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    check_names(given, known, f"setting of [{name}]")
    for own, f in known.items():
        if f.default is MISSING and own not in given:
            raise InputError(f"{name}.{own} is missing")
    types = get_type_hints(kind)
    return kind(**{own: checked(value, types[own], f"{name}.{own}") for own, value in given.items()})


def check_names(given: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Refuse a name that is not known.

    Errors: InputError with the nearest known one.
    """
    for name in given:
        if name not in known:
            raise InputError(f"unknown {what} {name!r}{nearest(name, known)}; there are {', '.join(known)}")


def checked(value: Any, wanted: Any, name: str) -> Any:
    """Return a value as one of the wanted type; whole numbers may be given for others, and lists for tuples.

    Errors: InputError for a value of another type.
    """
    if get_origin(wanted) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} must be a list, got {shown(value)}")
        return tuple(checked(each, get_args(wanted)[0], name) for each in value)
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise InputError(f"{name} must be {' or '.join(map(repr, get_args(wanted)))}, got {shown(value)}")
        return value
    kinds = get_args(wanted) or (wanted,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
        raise InputError(f"{name} must be {names}, got {shown(value)}")
    return value
