"""Packed rows: does a model keep the documents of a row apart?

Attention does, by the positions that begin anew. Convolutions, states and linear attention of an architecture's own
layers may read on into the next document, and nothing says so. A trial on two short documents shows it before the first
step: whatever the first one says, the second one must be what it is alone.
"""

from typing import Any

import torch
from torch import Tensor

from longspan.errors import RefusalError
from longspan.train.data.batch import Batch
from longspan.train.forward import hidden_states, quiet

FIRST, SECOND = 5, 11
"""Tokens of the two documents."""
ALLOWED = 3e-5
"""The difference that rounding may make, in standard deviations of the hidden states: experts multiply as many tokens
at once as they are given. Untrained layers that read on differ by ten times as much, and by more the wider they are."""


def check_apart(model: Any) -> None:
    """Refuse a model whose packed documents see each other.

    Arguments:
        model: in float32 on the CPU, with its design.

    Errors: RefusalError.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary = len(model.get_input_embeddings().weight)
    first, other, second = (
        torch.randint(vocabulary, (1, count), generator=generator) for count in (FIRST, FIRST, SECOND)
    )
    with quiet(model):
        alone = _hidden(model, second)
        behind, behind_another = (_hidden(model, before, second)[:, FIRST:] for before in (first, other))
    if not max((each - alone).abs().max() for each in (behind, behind_another)) <= ALLOWED * alone.std():
        raise RefusalError(
            f"{type(model).__name__} has layers that read on from one packed document into the next: give texts that "
            "are longer than training.length, or data.documents = 'joined', which lets them see each other"
        )


def _hidden(model: Any, *documents: Tensor) -> Tensor:
    ids = torch.cat(documents, 1)
    positions = torch.cat([torch.arange(each.shape[1]) for each in documents])[None]
    packed = positions if len(documents) > 1 else None
    return hidden_states(model, Batch(ids, ids, torch.ones_like(ids, dtype=torch.bool), packed))
