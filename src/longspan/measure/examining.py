"""Ask a model one example of a task, in the form that the example has, and return its score, 0 … 1.

questions with choices    the choice of the highest likelihood is the answer
a prompt                  by likelihood where it has choices; else the model writes, and the task's scoring compares
a sequence of ids         the most likely token at each target
"""

from typing import Any

from longspan.errors import LongspanError
from longspan.measure.answers import answers
from longspan.measure.model import LoadedModel
from longspan.measure.reader import Reader
from longspan.measure.writing import written
from longspan.prompts.example import PromptExample
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
        ids, likelihood = written(reader, example.ids, example.room)
        output = model.tokenizer.decode(ids, skip_special_tokens=True)
        found = {"output": output, "likelihood": likelihood, "answers": list(example.draft.answers)}
        return {"score": example.score(output), "scored": "writing", "fed": len(example.ids), **found}
    if isinstance(example, SequenceExample):
        return _predicted(reader, example)
    raise LongspanError(f"an example of {type(example).__name__} cannot be asked of a model")


def _chosen(reader: Reader, example: Example) -> dict[str, Any]:
    found = answers(reader, example, reader.read(reader.ids(example.ids))[1])
    right = found["right"]
    score = float("nan") if right is None else right / found["asked"]
    return {"score": score, "scored": "likelihood", "fed": len(example.ids), **found}


def _predicted(reader: Reader, example: SequenceExample) -> dict[str, Any]:
    positions = list(example.targets)
    likely = reader.logits(reader.hidden(reader.ids(example.ids))[0, positions]).log_softmax(-1)
    best = likely.max(-1)
    predicted = dict(zip(positions, best.indices.tolist(), strict=True))
    return {
        "score": example.score(predicted),
        "scored": "most likely token",
        "fed": example.length,
        "likelihood": float(best.values.sum()),
        "targets": len(positions),
    }
