"""Receptive field: how many last tokens of a text can change the hidden state of its last token at all.

    1 + the distance of the farthest token whose embedding has a gradient that is not 0

A window of w tokens lets one layer look w − 1 tokens back and ℓ layers (w − 1) ℓ: a window is no truncation. The field
is what may be used, not what is: attention so faint that float32 makes it 0 is outside.

Source: Su 2023, kexue.fm/archives/9603 (the field of stacked windows, (w − 1)(ℓ − 1) + 1 with one full layer).
"""

from dataclasses import dataclass
from typing import Any

import torch

from longspan.measure.diagnostic import Diagnostic, Subject
from longspan.pretrained.attach import attached


@dataclass(frozen=True)
class ReceptiveField(Diagnostic):
    """Tokens that reach the last hidden state."""

    unit = "tokens"

    def look(self, subject: Subject) -> dict[str, Any]:
        """Return how many tokens, and the share of the text that they are."""
        reader, length = subject.reader, len(subject.ids)
        with attached(reader.model, subject.method) as model, torch.enable_grad():
            embedded = model.get_input_embeddings()(reader.ids(subject.ids)).detach().requires_grad_()
            hidden = reader.body(inputs_embeds=embedded, use_cache=False).last_hidden_state[0, -1].float()
            direction = torch.linspace(1.0, 2.0, len(hidden), device=hidden.device)  # none that a norm removes
            (gradient,) = torch.autograd.grad(hidden @ direction, embedded)
        reached = gradient[0].abs().amax(-1).nonzero()[:, 0]
        field = length - int(reached[0]) if len(reached) else 0
        return {"value": float(field), "share": field / length}
