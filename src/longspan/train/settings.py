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
from longspan.train.tables import (
    DataTable,
    DesignTable,
    LogTable,
    ModelTable,
    ParallelTable,
    PretrainingTable,
    TestTable,
    TrainingTable,
)

_Table = TypeVar("_Table")


@dataclass(frozen=True)
class Settings:
    """A training run.

    Arguments:
        data, model, design, training, test, pretraining, parallel, log: its tables.
    """

    data: DataTable
    model: ModelTable = field(default_factory=ModelTable)
    design: DesignTable = field(default_factory=DesignTable)
    training: TrainingTable = field(default_factory=TrainingTable)
    test: TestTable = field(default_factory=TestTable)
    pretraining: PretrainingTable = field(default_factory=PretrainingTable)
    parallel: ParallelTable = field(default_factory=ParallelTable)
    log: LogTable = field(default_factory=LogTable)

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
    data = dict(given["data"])
    for name in ("train", "test"):
        if isinstance(data.get(name), list):
            data[name] = [str(base / text) for text in data[name]]
    if isinstance(tokenizer := data.get("tokenizer"), str) and (base / tokenizer).is_dir():
        data["tokenizer"] = str(base / tokenizer)
    return Settings(
        data=_table(DataTable, "data", data),
        model=model_of(given.get("model", {})),
        design=_table(DesignTable, "design", given.get("design", {})),
        training=_table(TrainingTable, "training", given.get("training", {})),
        test=_table(TestTable, "test", given.get("test", {})),
        pretraining=_table(PretrainingTable, "pretraining", given.get("pretraining", {})),
        parallel=_table(ParallelTable, "parallel", given.get("parallel", {})),
        log=_table(LogTable, "log", given.get("log", {})),
    )


def model_of(given: Mapping[str, Any]) -> ModelTable:
    """Make the table `[model]`; fields of a config are checked where one is made.

    Errors: InputError for a value of a wrong type.
    """
    own = {f.name: f.default for f in fields(ModelTable) if f.name != "config"}
    named = {name: checked(given.get(name, default), str, f"model.{name}") for name, default in own.items()}
    return ModelTable(**named, config=tuple(sorted((key, each) for key, each in given.items() if key not in own)))


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
