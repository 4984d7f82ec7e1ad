"""From settings to what is read: the tokenizer, the training's steps, and what makes no sense together."""

from collections import Counter
from pathlib import Path
from typing import Any

from longspan.errors import InputError
from longspan.memo import remember
from longspan.plan import Plan
from longspan.prompts.filler import Amount
from longspan.prompts.sequence import SequenceTask
from longspan.prompts.task import PromptTask, Request
from longspan.slots import Mixer
from longspan.task import task_of
from longspan.train.data.batch import Reading
from longspan.train.data.masked import Hiding, Masked
from longspan.train.data.next_tokens import NextTokens
from longspan.train.data.rows import Rows
from longspan.train.data.segmentation import Sampling
from longspan.train.data.tasks.answers import Answers, FilledIn, Written
from longspan.train.data.tasks.examples import Examples, draft_of, held_out_draft
from longspan.train.data.tasks.self_pretraining import Inputs, Stages
from longspan.train.data.tasks.sequences import Sequences
from longspan.train.data.tasks.task_rows import TaskRows
from longspan.train.data.texts import overlap, prepared
from longspan.train.data.tokenizers import MASK, SYMBOLS, load_tokenizer, number_tokenizer, symbol_tokenizer
from longspan.train.records.state import has_begun
from longspan.train.settings import Settings

MOST_OVERLAP = 0.01
"""The share of the test texts that may be in the training texts too, as common phrases are."""
SAMPLES = 500
"""Examples of a task from which its symbols are gathered."""


def tokenizer_of(settings: Settings) -> Any:
    """Return the tokenizer of a run.

    Errors: InputError for the symbols of a task where there is none, RefusalError for a name that there is none of.
    """
    data = settings.data
    if data.tokenizer != SYMBOLS:
        hides = data.task is not None or settings.training.objective == "masked"
        return load_tokenizer(data.tokenizer, (MASK,) if hides else ())
    if data.task is None:
        raise InputError(f"data.tokenizer {SYMBOLS!r} is made of a task's symbols: give data.task, or 'bytes'")
    task = _task(data.task)
    if isinstance(task, SequenceTask):
        return number_tokenizer(max(map(task.tokens, (data.longest, *settings.lengths))))
    drafts = [draft_of(task, f"symbols/{number}", data.longest) for number in range(SAMPLES)]
    return symbol_tokenizer(f"{draft.prompt.text} {' '.join((*draft.answers, *draft.choices))}" for draft in drafts)


def reading_of(settings: Settings, tokenizer: Any, plan: Plan, layers: int, folder: Path) -> Reading:
    """Return what the steps of a run read.

    Arguments:
        plan: of the model, without open fields.
        layers: of the model.
        folder: of the run, where token ids are kept.

    Errors: InputError for settings that do not fit each other, and for test texts that were trained on.
    """
    both = sees_both_directions(plan, layers)
    if settings.data.task is not None:
        rows = task_rows_of(settings, tokenizer, both=both)
        rows.check()
        return _stages(settings, rows, tokenizer, both=both)
    training = settings.training
    _check_direction(training.objective, "training.objective", both=both)
    rows = _rows(settings, tokenizer, folder)
    if training.objective == "next":
        return NextTokens(rows)
    return Masked(rows, hiding_of(tokenizer, training.hidden))


def task_rows_of(settings: Settings, tokenizer: Any, *, both: bool) -> TaskRows:
    """Return the rows of the task of a run.

    Arguments:
        both: whether the model sees both directions, so that it fills answers in.

    Errors: InputError for a task that is made of texts.
    """
    data, training = settings.data, settings.training
    assert data.task is not None
    task = _task(data.task)
    if isinstance(task, SequenceTask):
        return Sequences(task, len(tokenizer), training.length, data.shortest, data.longest, training.seed)
    examples = Examples(task, tokenizer)
    numbers = (training.length, data.shortest, data.longest, tokenizer.eos_token_id, training.seed)
    if both:
        return FilledIn(examples, *numbers, mask=_mask(tokenizer))
    return Written(examples, *numbers)


def chance(task: str) -> float:
    """Return the share of answers that somebody who guesses has right: 0 where there are more than can be listed."""
    found = _task(task)
    if isinstance(found, SequenceTask):
        return 0.0
    draft = found.draft(Request("chance", 0, "", ""), Amount())
    return 1 / len(draft.choices) if draft is not None and draft.choices else 0.0


@remember(64)
def commonest(task: str, length: int, docs: int) -> float:
    """Return the share of test answers that is right for somebody who always gives the same one; 0 if none comes twice.

    Of ListOps, 0 and 9 are right more often than other digits.

    Arguments:
        task: whose answers are tested.
        length: symbols of the questions.
        docs: how many are drawn; equal ones count once.

    Errors: InputError where there is no question of this length.
    """
    found = _task(task)
    if isinstance(found, SequenceTask):
        return 0.0
    every = [held_out_draft(found, length, index) for index in range(docs)]
    drafts = {draft.prompt.text: draft for draft in every}.values()
    _, most = Counter(draft.answers for draft in drafts).most_common(1)[0]
    return most / len(drafts) if most > 1 else 0.0


def hiding_of(tokenizer: Any, share: float) -> Hiding:
    """Return how the tokens of a tokenizer are hidden.

    Errors: InputError where it has no token for that.
    """
    return Hiding(_mask(tokenizer), len(tokenizer), share)


def _stages(settings: Settings, rows: TaskRows, tokenizer: Any, *, both: bool) -> Reading:
    stage = settings.pretraining
    if not stage.steps:
        return rows
    if not isinstance(rows, Answers):
        raise InputError(f"pretraining.steps: {settings.data.task} has no inputs to predict: leave [pretraining] out")
    _check_direction(stage.objective, "pretraining.objective", both=both)
    hiding = None if stage.objective == "next" else hiding_of(tokenizer, stage.hidden)
    return Stages(Inputs(rows, hiding), stage.steps, rows)


def _rows(settings: Settings, tokenizer: Any, folder: Path) -> Rows:
    data, training = settings.data, settings.training
    sampling = None if data.alpha is None else Sampling(data.alpha, data.copies)
    texts = prepared(data.train, tokenizer, folder / "texts", sampling, begun=has_begun(folder))
    if data.test:
        others = prepared(data.test, tokenizer, folder / "texts-test")
        if both := sorted(set(texts.names) & set(others.names)):
            raise InputError(f"{both[0]} is in data.train and in data.test: give a file to one of them")
        same = texts if sampling is None else prepared(data.train, tokenizer, folder / "texts-unsampled")
        if (share := overlap(same, others)) > MOST_OVERLAP:
            raise InputError(
                f"{share:.0%} of the test texts are in the training texts too: give test texts that were not trained on"
            )
    joined = data.documents == "joined"
    packed = joined or settings.design.positions == "contiguous"
    copies = 1 if sampling is None else sampling.copies
    return Rows(texts, training.length, training.seed, joined, packed, copies)


def _task(text: str) -> PromptTask | SequenceTask:
    task = task_of(text)
    if not isinstance(task, PromptTask | SequenceTask):
        raise InputError(f"data.task: {task.name} asks about texts: give one that is drawn, as 'reverse' or 'mqar'")
    return task


def _mask(tokenizer: Any) -> int:
    if tokenizer.mask_token_id is None:
        raise InputError("data.tokenizer has no mask token, which stands for what is hidden: give 'bytes', or another")
    return tokenizer.mask_token_id


def sees_both_directions(plan: Plan, layers: int) -> bool:
    """Whether the layers of a plan see what comes after a token; mixers do not.

    Errors: InputError where some do and others do not.
    """
    found = [plan.at(i, layers) for i in range(layers)]
    causal = {isinstance(layer, Mixer) or layer.direction.causal for layer in found}
    if len(causal) > 1:
        raise InputError("design.plan: some layers see later tokens and others do not: give all the same direction")
    return not causal.pop()


def _check_direction(objective: str, name: str, *, both: bool) -> None:
    if objective == "masked" and not both:
        raise InputError(
            f"{name} 'masked' needs a plan that sees both directions: add ' + bidirectional' to design.plan"
        )
    if objective == "next" and both:
        raise InputError(
            f"{name} 'next': a bidirectional plan sees the token that it predicts: give 'masked', or leave out "
            "bidirectional"
        )
