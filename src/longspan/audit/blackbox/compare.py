"""Ask a server about planted texts, and find out which hypothesis explains its answers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from longspan import bundled
from longspan.audit.blackbox.answer import Answer, Server
from longspan.audit.blackbox.evidence import Evidence, weigh
from longspan.audit.blackbox.hypotheses import listed
from longspan.audit.blackbox.hypothesis import PLAIN, Asked, Hypothesis
from longspan.audit.blackbox.planted import SHORTEST, planted
from longspan.audit.blackbox.predict import Request, predicted
from longspan.audit.blackbox.verdict import Considered, Verdict
from longspan.errors import InputError, LongspanError, RefusalError
from longspan.measure.corpus.documents import library, tokenize, with_tokens
from longspan.measure.reading.reader import Reader
from longspan.plan import Plan
from longspan.pretrained.anatomy.probe import probe
from longspan.pretrained.attach import attached
from longspan.pretrained.resolve import resolve
from longspan.pretrained.target import target_of

PLAIN_NAME = "plain"
SHARES = (0.5, 1.25, 1.5, 2.0)
"""Lengths of the texts as shares of the trained length: one within it, the others just beyond."""


def asked_of(model: Any, expect: str, lengths: Sequence[int], opening: Sequence[int], to: int | None = None) -> Asked:
    """Return what a server is asked to do, resolved against the local model.

    Errors: NotationError, SchemeError and RefusalError as of `extend`.
    """
    anatomy = probe(model)
    target = target_of(anatomy, to)
    layers = len(anatomy.layers)
    plan = Plan.everywhere(PLAIN) if expect == PLAIN_NAME else resolve(expect, target, layers)
    config = anatomy.base.config
    window = getattr(config, "sliding_window", None) if any(layer.local_size for layer in anatomy.layers) else None
    return Asked(
        expect,
        plan,
        target.origin.original_length,
        target.geometry.theta,
        target.layout.rotary_dim,
        target.origin.rescaled,
        window,
        tuple(opening),
        tuple(lengths),
    )


def texts_of(
    tokenizer: Any, texts: Sequence[str | Path], lengths: Sequence[int], opening: Sequence[int], seed: int = 0
) -> tuple[Request, ...]:
    """Return one planted text per length, each from another document where there are enough.

    Where no document is long enough, several are joined. A text is written out and read again once, so that a server
    that takes text only splits it into the same tokens.

    Errors: InputError where the texts are too short.
    """
    sources = _sources(texts or bundled.documents(), tokenizer, max(lengths), len(lengths))
    made = []
    for number, length in enumerate(lengths):
        body = planted(sources[(seed + number) % len(sources)], length, tokenizer, seed + number)
        text = tokenizer.decode(body, clean_up_tokenization_spaces=False)
        again = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        body = tuple(again[:length]) if len(again) >= length // 2 else body
        made.append(Request((*opening, *body), tuple(opening)))
    return tuple(made)


def _sources(texts: Sequence[str | Path], tokenizer: Any, length: int, wanted: int) -> list[tuple[int, ...]]:
    """Return documents of `length` tokens, or where there is none, all of them one after the other."""
    if found := library(texts, tokenizer, length, wanted).documents:
        return [document.tokens(tokenizer) for document in found]
    joined = [token for key in with_tokens(texts, tokenizer) for token in tokenize(key, tokenizer)]
    if len(joined) < length:
        raise InputError(f"the texts have {len(joined)} tokens, fewer than {length}: give more with --text")
    return [tuple(joined)]


def usual_lengths(trained_length: int, to: int | None) -> tuple[int, ...]:
    """Return the lengths of the texts, tokens: one within the trained length, the others beyond it, up to `to`."""
    found = {max(SHORTEST, round(share * trained_length)) for share in SHARES}
    return tuple(sorted(length for length in found if to is None or length <= max(to, trained_length)))


def compare(
    reader: Reader,
    server: Server,
    asked: Asked,
    texts: Sequence[Request],
    progress: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Ask a server and weigh all hypotheses.

    Arguments:
        reader: the model that the server should run.
        texts: what it is asked about.
        progress: takes short messages.

    Errors: InputError where the server gives no log-probabilities; RefusalError where the local model cannot do what
    was asked.
    """
    requests = [Request(tuple(part), text.opening) for text in texts for part in server.prompts(text.ids)]
    answers: list[Answer] = []
    for number, request in enumerate(requests, 1):
        progress(f"asking the server: request {number} of {len(requests)}, {len(request.ids)} tokens")
        answers.append(server.answer(request.ids))
    hypotheses, rows, refused = [], [], []
    candidates = listed(replace(asked, lengths=tuple(len(request.ids) for request in requests)))
    with _examined(reader.model):
        for number, hypothesis in enumerate(candidates, 1):
            progress(f"imitating {number} of {len(candidates)}: {hypothesis.name}")
            try:
                row = predicted(reader, hypothesis, requests, answers)
            except LongspanError as error:
                if number == 1:
                    raise RefusalError(
                        f"the local model cannot do what was asked ({hypothesis.name}): {error}"
                    ) from error
                refused.append(f"{hypothesis.name}: {error}")
            else:
                hypotheses.append(hypothesis)
                rows.append(row)
    given = np.concatenate([np.array(answer.values) for answer in answers])
    request = np.repeat(np.arange(len(answers)), [len(answer.values) for answer in answers])
    if not len(given) or np.isnan(given).all():
        raise InputError("the server gave no log-probability at all: ask it for the log-probabilities of the prompt")
    evidence = weigh(given, np.stack(rows), request, answers[0].chosen)
    return _verdict(asked, hypotheses, evidence, requests, refused)


@contextmanager
def _examined(model: Any) -> Iterator[None]:
    """Find out once what the model is made of, for all hypotheses that are put on it while the context lasts."""
    with ExitStack() as stack:
        with suppress(RefusalError):  # nothing can be put on it: the hypotheses that want to are refused one by one
            stack.enter_context(attached(model, PLAIN))
        yield


def _verdict(
    asked: Asked,
    hypotheses: Sequence[Hypothesis],
    evidence: Evidence,
    requests: Sequence[Request],
    refused: Sequence[str],
) -> Verdict:
    considered = tuple(
        Considered(hypotheses[each.index].name, each.behind, each.ruled_out, each.off) for each in evidence.ranking
    )
    return Verdict(
        asked.text,
        considered,
        evidence.fits,
        evidence.noise,
        evidence.unexplained,
        evidence.resembling,
        evidence.tokens,
        tuple(len(request.ids) for request in requests),
        tuple(refused),
        asked.trained_length,
        evidence.chosen,
    )
