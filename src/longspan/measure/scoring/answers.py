"""Answer questions by likelihood: the choice of the highest log-probability is the answer, for any language model.

    score(choice) = Σ_t ln p(choice_t | text, question, choice_<t)        divided by its tokens where lengths differ

The text is read once, and its cache serves every question.
"""

from typing import Any

import torch

from longspan.measure.reading.reader import Reader
from longspan.task import Example, Question


def answers(reader: Reader, text: Example, cache: Any) -> dict[str, Any]:
    """Ask every question after a text.

    Arguments:
        cache: of the text that was read; None reads all of it anew for each choice, which gives the same scores.

    Returns `right` of `asked` questions, and of each its depth, distance, whether it was right, and scores in nats.
    """
    questions = []
    for question in text.questions:
        scores = _scores(reader, text, question, cache)
        right = question.right(scores)
        questions.append({"depth": question.depth, "distance": question.distance, "right": right, "scores": scores})
    answered = [question["right"] for question in questions]
    return {
        "right": None if None in answered else sum(answered),
        "asked": len(answered),
        "questions": questions,
    }


def _scores(reader: Reader, text: Example, question: Question, cache: Any) -> list[float]:
    """Log-likelihood of each choice."""
    if all(len(choice) == 1 for choice in question.choices):
        likely = reader.logits(_last_hidden(reader, text, question.ids, cache, 1)).log_softmax(-1)[0]
        return [float(likely[choice[0]]) for choice in question.choices]
    differ = len(set(map(len, question.choices))) > 1
    scores = []
    for choice in question.choices:
        hidden = _last_hidden(reader, text, (*question.ids, *choice[:-1]), cache, len(choice))
        total = -float(reader.losses(hidden, reader.ids(choice)[0]).sum())
        scores.append(total / len(choice) if differ else total)
    return scores


def _last_hidden(reader: Reader, text: Example, ids: tuple[int, ...], cache: Any, count: int) -> torch.Tensor:
    """Hidden states of the last `count` of `ids` after the text."""
    if cache is None:
        return reader.hidden(reader.ids((*text.ids, *ids)))[0, -count:]
    return reader.after(cache, reader.ids(ids))[0, -count:]
