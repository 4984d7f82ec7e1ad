"""Predict what a server answers if a hypothesis holds: the local model reads what the server would feed to its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

import longspan.pretrained.attach as pretrained
from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.hypothesis import PLAIN, Hypothesis
from longspan.audit.blackbox.written import rotated_one_by_one
from longspan.measure.reading.reader import Reader
from longspan.plan import Plan
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.running.rotary import rotary_modules
from longspan.scheme import Scheme


@dataclass(frozen=True)
class Request:
    """What is sent to a server at once.

    Arguments:
        ids: the token ids, the opening included.
        opening: the special tokens that they begin with; empty where there are none.
    """

    ids: tuple[int, ...]
    opening: tuple[int, ...] = ()


def predicted(
    reader: Reader, hypothesis: Hypothesis, requests: Sequence[Request], answers: Sequence[Answer]
) -> Float64[np.ndarray, " values"]:
    """Return log-probabilities in the order of the answers' values, nats; NaN for tokens that the model never reads.

    Arguments:
        answers: one for each request, whose positions and tokens are predicted; their values are not read.

    Errors: RefusalError where the model cannot do what the hypothesis says.
    """
    fed = [_fed(hypothesis, request, answer.continuation) for request, answer in zip(requests, answers, strict=True)]
    written = [len(answer.continuation) for answer in answers]
    steps = hypothesis.steps([(len(read) - count, count) for (read, _), count in zip(fed, written, strict=True)])
    schemes = [hypothesis.scheme_of(first) for first, *_ in steps]
    plain = schemes[0] in (PLAIN, Plan.everywhere(PLAIN))  # the model itself, without anything of ours
    attached = nullcontext() if plain else pretrained.attached(reader.model, schemes[0])
    found: list[np.ndarray] = [np.zeros(0)] * len(requests)
    with _window(reader.model, hypothesis.own_window), attached:
        passed: tuple[list[int], tuple[Plan | Scheme, tuple[int, ...]], Tensor] | None = None
        for index in sorted(range(len(requests)), key=lambda index: fed[index][0], reverse=True):
            (read, source), scheme, later = fed[index], schemes[index], steps[index][1:]
            begins = passed is not None and passed[0][: len(read)] == read and passed[1] == (scheme, later)
            if passed is None or not begins or not rotates_alike(reader, len(read), len(passed[0])):
                if not plain:
                    pretrained.extend(reader.model, scheme)
                if reader.shared_length() is not None:
                    reader.hidden(reader.ids(read[:1]))  # dynamic scaling keeps the base of a longer call until then
                with rotated_one_by_one(reader.model, [hypothesis.scheme_of(length) for length in later]):
                    passed = read, (scheme, later), reader.hidden(reader.ids(read))[0]
            found[index] = _of_one(reader, passed[2], source, len(requests[index].ids), answers[index])
    return np.concatenate(found)


def rotates_alike(reader: Reader, one: int, other: int) -> bool:
    """Return whether the model, as it is now, rotates the first tokens of two calls of so many tokens alike.

    Only a checkpoint whose own frequencies follow the length of the call does not: LongRoPE has one list up to a length
    and another one beyond it, and dynamic scaling another base for each length beyond it.
    """
    fixed = reader.shared_length()
    if fixed is None or one == other or max(one, other) <= fixed:
        return True
    kinds = {kind for module in rotary_modules(reader.model) for kind in _kinds(module)}
    return min(one, other) > fixed and not any("dynamic" in kind for kind in kinds)


def _kinds(module: Any) -> set[str]:
    kind = getattr(module, "rope_type", "default")
    return set(kind.values()) if isinstance(kind, dict) else {kind}


def _fed(hypothesis: Hypothesis, request: Request, continuation: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return what the model reads, and where each token is in the request and what was written after it."""
    read, source = hypothesis.feeding.feed(request.ids, request.opening)
    sent = len(request.ids)
    return [*read, *continuation], [*source, *range(sent, sent + len(continuation))]


def _of_one(
    reader: Reader, hidden: Float[Tensor, "read width"], source: Sequence[int], sent: int, answer: Answer
) -> Float64[np.ndarray, " values"]:
    """Return what the hidden states of a request say about its answer; a row does not see the rows after it."""
    rows = {index: place - 1 for place, index in enumerate(source)}  # the row that predicts each sent token
    rows.setdefault(sent, len(source) - 1)
    predicting = np.array([rows.get(position, -1) for position in answer.positions], dtype=np.int64)
    known = predicting >= 0
    found = np.full(len(predicting), nan)
    if known.any():
        tokens = torch.tensor(np.array(answer.tokens)[known], device=hidden.device)
        rows_known = hidden[torch.from_numpy(predicting[known])]
        if answer.chosen:
            logits = reader.logits(rows_known)
            found[known] = (logits.gather(1, tokens[:, None])[:, 0] - logits.amax(1)).double().cpu().numpy()
        else:
            found[known] = -reader.losses(rows_known, tokens).numpy()
    return found


@contextmanager
def _window(model: Any, size: int | None) -> Iterator[None]:
    """Let the model's own sliding layers see so many tokens while the context lasts; None leaves them as they are.

    An extension is taken off meanwhile: it knows the width that it was made for.
    """
    if size is None:
        yield
        return
    config, extension = model.config.get_text_config(decoder=True), attachment_of(model)
    own = getattr(config, "sliding_window", None)
    pretrained.detach(model)
    config.sliding_window = size
    try:
        yield
    finally:
        pretrained.detach(model)
        config.sliding_window = own
        if extension is not None:
            extension.install()
