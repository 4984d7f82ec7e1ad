"""Let a model write: its most likely token, again and again, as RULER and passkey retrieval have their answers written.

Nothing is sampled, so that a measurement gives the same on every run.
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from longspan.measure.reading.reader import Reader


def written(reader: Reader, ids: Sequence[int], count: int) -> tuple[list[int], float]:
    """Return at most `count` tokens after a prompt, without the one that ends a text, and their log-likelihood, nats.

    The log-likelihood is NaN where the model returned NaN, of which no token is the most likely.
    """
    hidden, cache = reader.read(reader.ids(ids), 1)
    return written_after(reader, hidden[0, -1:], cache, count)


def written_after(reader: Reader, hidden: Float[Tensor, "1 width"], cache: Any, count: int) -> tuple[list[int], float]:
    """Return what `written` does, of a prompt that was read.

    Arguments:
        hidden: the hidden state of the prompt's last token.
        cache: of the prompt; it is used up.
    """
    ends = _ends(reader)
    found, likelihood = list[int](), 0.0
    while True:
        likely = reader.logits(hidden[0]).log_softmax(-1)
        best = int(likely.argmax())
        likelihood += float(likely[best])
        if best in ends:
            return found, likelihood
        found.append(best)
        if len(found) >= count or likelihood != likelihood:
            return found, likelihood
        later, cache = reader.append(cache, reader.ids([best]))
        hidden = later[0, -1:]


def _ends(reader: Reader) -> set[int]:
    """The tokens that end a text."""
    settings = getattr(reader.model, "generation_config", None) or reader.model.config
    ends = getattr(settings, "eos_token_id", None)
    return set() if ends is None else set(ends) if isinstance(ends, (list, tuple)) else {ends}
