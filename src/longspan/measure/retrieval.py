"""Retrieval by likelihood: the choice with the highest log-probability is the answer; works for base and tiny models.

    score(choice) = Σ_t ln p(choice_t | haystack, question, choice_<t)        divided by its tokens where lengths differ

The haystack is read once and its cache answers every question at every depth; `fresh` reads all of it again for each
choice, which must give the same scores.
"""

from typing import Any

import torch

from longspan.measure.reader import Reader
from longspan.tasks.retrieval import Haystack, Question


def retrieval(reader: Reader, hay: Haystack, fresh: bool = False) -> dict[str, Any]:
    """`right` of `asked` questions, of each its depth, distance and scores, and how many tokens were `fed`."""
    cache = None if fresh else reader.read(reader.ids(hay.ids))[1]
    return {**answers(reader, hay, cache), "fed": len(hay.ids)}


def answers(reader: Reader, hay: Haystack, cache: Any) -> dict[str, Any]:
    """The same without `fed`, of a haystack that was read into a cache; None: read it anew for each choice."""
    questions = []
    for question in hay.questions:
        scores = _scores(reader, hay, question, cache)
        right = None if any(score != score for score in scores) else scores.index(max(scores)) == question.answer
        questions.append({"depth": question.depth, "distance": question.distance, "right": right, "scores": scores})
    answered = [question["right"] for question in questions]
    return {
        "right": None if None in answered else sum(answered),
        "asked": len(answered),
        "questions": questions,
    }


def _scores(reader: Reader, hay: Haystack, question: Question, cache: Any) -> list[float]:
    """Log-likelihood of each choice."""
    if all(len(choice) == 1 for choice in question.choices):
        likely = reader.logits(_last_hidden(reader, hay, question.ids, cache, 1)).log_softmax(-1)[0]
        return [float(likely[choice[0]]) for choice in question.choices]
    differ = len(set(map(len, question.choices))) > 1
    scores = []
    for choice in question.choices:
        hidden = _last_hidden(reader, hay, (*question.ids, *choice[:-1]), cache, len(choice))
        total = -float(reader.losses(hidden, reader.ids(choice)[0]).sum())
        scores.append(total / len(choice) if differ else total)
    return scores


def _last_hidden(reader: Reader, hay: Haystack, ids: tuple[int, ...], cache: Any, count: int) -> torch.Tensor:
    """Hidden states of the last `count` of `ids` after the haystack."""
    if cache is None:
        return reader.hidden(reader.ids((*hay.ids, *ids)))[0, -count:]
    return reader.after(cache, reader.ids(ids))[0, -count:]
