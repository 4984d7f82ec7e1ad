"""Ask a model one example of a task, in the form that the example has, and return its score, 0 … 1.

questions with choices    the choice of the highest likelihood is the answer
a prompt                  by likelihood where it has choices; else the model writes, and the task's scoring compares
several prompts           each as a prompt to write after; what they share is read once
a sequence of ids         the most likely token at each target
"""

from typing import Any

from longspan.errors import InputError, LongspanError
from longspan.measure.models.model import LoadedModel
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.shared_prefix import can_share, nodes, read_together
from longspan.measure.scoring.answers import answers
from longspan.measure.scoring.writing import written, written_after
from longspan.prompts.example import PromptExample, PromptGroup
from longspan.prompts.sequence import SequenceExample
from longspan.task import Example, Material


def examined(model: LoadedModel, example: Any) -> dict[str, Any]:
    """Return `score`, by what it was found (`scored`), how many tokens were `fed`, and what the model answered.

    Numbers that a model's NaN reaches are NaN here too.

    Errors: LongspanError for an example of an unknown form; InputError for token ids that the model does not have.
    """
    reader = model.reader
    if isinstance(example, Example):
        return _chosen(reader, example)
    if isinstance(example, PromptExample):
        if example.draft.choices:
            return _chosen(reader, example.question(Material(model.tokenizer).encode))
        return {**_answered(model, example, *written(reader, example.ids, example.room)), "fed": len(example.ids)}
    if isinstance(example, PromptGroup):
        return _together(model, example)
    if isinstance(example, SequenceExample):
        return _predicted(reader, example)
    raise LongspanError(f"an example of {type(example).__name__} cannot be asked of a model")


def check_known(reader: Reader, example: Any) -> None:
    """Check that a model has the tokens of a sequence; text has those that its tokenizer makes.

    Errors: InputError where it has not.
    """
    largest = max(example.ids) if isinstance(example, SequenceExample) else 0
    if largest >= reader.num_embeddings:
        raise InputError(
            f"its sequences hold token {largest} and the model has {reader.num_embeddings} tokens: set "
            f"vocabulary={reader.num_embeddings} or less"
        )


def _answered(model: LoadedModel, example: PromptExample, ids: list[int], likelihood: float) -> dict[str, Any]:
    """What a model wrote after a prompt."""
    output = model.tokenizer.decode(ids, skip_special_tokens=True)
    found = {"output": output, "likelihood": likelihood, "answers": list(example.draft.answers)}
    return {"score": example.score(output), "scored": "writing", **found}


def _together(model: LoadedModel, group: PromptGroup) -> dict[str, Any]:
    """The mean score of prompts, of which each is also listed; what they share is read once where that is exact."""
    reader, examples = model.reader, group.examples
    prompts, room = [each.ids for each in examples], max(each.room for each in examples)
    if can_share(reader, group.length):
        fed, wrote = nodes(prompts), dict[int, tuple[list[int], float]]()
        for read in read_together(reader, prompts, room):
            wrote[read.number] = written_after(reader, read.hidden, read.cache, examples[read.number].room)
    else:
        fed = sum(map(len, prompts))
        wrote = {i: written(reader, each.ids, each.room) for i, each in enumerate(examples)}
    found = [
        {"depth": depth, "distance": (*each.distances, None)[0], **_answered(model, each, *wrote[i])}
        for i, (each, depth) in enumerate(zip(examples, group.depths, strict=True))
    ]
    score = sum(each["score"] for each in found) / len(found)
    return {"score": score, "scored": "writing", "fed": fed, "prompts": found}


def _chosen(reader: Reader, example: Example) -> dict[str, Any]:
    shared = can_share(reader, example.length)
    found = answers(reader, example, reader.read(reader.ids(example.ids), 1)[1] if shared else None)
    right = found["right"]
    score = float("nan") if right is None else right / found["asked"]
    return {"score": score, "scored": "likelihood", "fed": len(example.ids), **found}


def _predicted(reader: Reader, example: SequenceExample) -> dict[str, Any]:
    check_known(reader, example)
    positions = list(example.targets)
    tokens, likely = reader.likeliest(reader.hidden(reader.ids(example.ids))[0, positions])
    predicted = dict(zip(positions, tokens.tolist(), strict=True))
    return {
        "score": example.score(predicted),
        "scored": "most likely token",
        "fed": example.length,
        "likelihood": float(likely.sum()),
        "targets": len(positions),
    }
