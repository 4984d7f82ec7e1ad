"""The tables of a training's TOML file as frozen values, with defaults and checks; `settings.py` reads the file."""

from dataclasses import dataclass
from typing import Any, Literal

from longspan.errors import InputError
from longspan.measure.hardware.device import AUTO

SEEDS = 2**63
"""How many seeds there are: what every generator takes."""


@dataclass(frozen=True)
class ModelTable:
    """The table `[model]`.

    Arguments:
        architecture: a model type of transformers, as in "llama".
        linear: the matrices of the projections inside the layers: "dense", "monarch" or "monarch(blocks=8)".
        config: fields of its config, by name.
    """

    architecture: str = "llama"
    linear: str = "dense"
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

    def __post_init__(self) -> None:
        """Refuse a seed that no generator takes.

        Errors: InputError.
        """
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise InputError(f"design.seed must be 0 … {SEEDS - 1}, got {self.seed}")


@dataclass(frozen=True)
class DataTable:
    """The table `[data]`.

    Arguments:
        train, test: files or folders of text. No file may be in both.
        tokenizer: "bytes", "symbols" for those of the task, or whatever `AutoTokenizer` loads.
        documents: "apart": no token sees another document; "joined": the texts are one text.
        task: a task of `longspan.tasks` in the place of texts, as in "reverse"; its answers are trained and tested.
        shortest, longest: symbols of a training example of the task; tokens, of a task in token ids.
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
        lowest: what the learning rate falls towards, as a share of the highest; it would be reached one step after the
            last one.
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
        device: where the run computes: auto, cpu, cuda, cuda:1 or mps. A run may go on with another one.
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
    device: str = AUTO

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
        if not self.weight_decay >= 0:
            raise InputError(f"training.weight_decay must be at least 0, got {self.weight_decay:g}")
        if not 0 <= self.seed < SEEDS:
            raise InputError(f"training.seed must be 0 … {SEEDS - 1}, got {self.seed}")
        if not 0 < self.hidden < 1:
            raise InputError(f"training.hidden must lie between 0 and 1, got {self.hidden:g}")


@dataclass(frozen=True)
class ParallelTable:
    """The table `[parallel]`: how the processes that torchrun started divide the work.

    What is left of them reads different rows of each step: of 8 processes with `context = 2`, 4 groups do.

    Arguments:
        shards: processes that share weights, gradients and what optimizers keep; 1 for each to hold all.
        context: processes that share each sequence; 1 for each to read whole rows.
    """

    shards: int = 1
    context: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have.

        Errors: InputError.
        """
        for name in ("shards", "context"):
            if getattr(self, name) < 1:
                raise InputError(f"parallel.{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class LogTable:
    """The table `[log]`: what is written of each step beside log.jsonl.

    Arguments:
        tensorboard: whether curves for TensorBoard are.
    """

    tensorboard: bool = False


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

    def __post_init__(self) -> None:
        """Refuse numbers that no test can have.

        Errors: InputError.
        """
        if self.docs < 1 or any(length < 1 for length in self.lengths):
            lengths = list(self.lengths)
            raise InputError(f"test.docs and test.lengths must be at least 1, got {self.docs} and {lengths}")
