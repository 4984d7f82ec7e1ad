"""The self-test of an extension: under plain rotation, the extended model must be the model itself."""

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from longspan.errors import RefusalError
from longspan.plan import Plan
from longspan.pretrained.anatomy.layers import Anatomy
from longspan.pretrained.anatomy.precision import in_float32
from longspan.pretrained.anatomy.sample_text import evaluating, sample_tokens, token_outputs
from longspan.pretrained.attachment import Attachment
from longspan.pretrained.division import Work, plain_work
from longspan.pretrained.target import Target
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme

ALLOWED = {torch.float32: 1e-3, torch.float64: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""By how much outputs may differ, in units of their standard deviation, by the type of the weights.

The test runs models in float32 where that is possible; the last two are for models where it is not.
"""


def check_plain_rotation(model: nn.Module, anatomy: Anatomy, target: Target, work: Work, backend: str) -> None:
    """Raise unless the machinery of an extension, with the model's own rotation, gives the model's own outputs.

    Arguments:
        target: what schemes on this model are resolved for.
        work: what the extension is going to do.
        backend: the name of a backend of `attend`.

    Errors: RefusalError.
    """
    if not work.changes_attention(anatomy):
        return
    tokens = sample_tokens(model, 2, 24)
    precise = nullcontext() if any("flash" in layer.implementation for layer in anatomy.layers) else in_float32(model)
    with evaluating(model), precise, torch.no_grad():
        real, before = _own_outputs(model, anatomy.base, tokens)
        plan = Plan.everywhere(Scheme(rotation=RoPE()))
        plain = Attachment(model, anatomy, replace(target, absolute=None), plan, plain_work(anatomy, work), backend)
        plain.install()
        try:
            after = token_outputs(model, anatomy.base, tokens, real.long())[real].float()
        finally:
            plain.remove()
        _compare(before, after, weights_dtype(model))


def _own_outputs(model: nn.Module, base: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return which tokens are real, (rows, tokens), and the model's own outputs for those.

    A row with padding is tried first. Some models give NaN for it: eager attention masks float64 scores with a number
    that its softmax in float32 takes for −inf. Those are tested without padding.
    """
    everything = torch.ones_like(tokens, dtype=torch.bool)
    padded = everything.clone()
    padded[1, :7] = False
    for real in (padded, everything):
        outputs = token_outputs(model, base, tokens, real.long())[real].float()
        if outputs.isfinite().all():
            return real, outputs
    return everything, outputs


def weights_dtype(model: nn.Module) -> torch.dtype:
    """Return the type of a model's floating-point weights."""
    return next((p.dtype for p in model.parameters() if p.dtype in ALLOWED), torch.float32)


def _compare(before: Tensor, after: Tensor, dtype: torch.dtype) -> None:
    difference = float((before - after).abs().max() / before.std())
    if not difference <= ALLOWED[dtype]:
        raise RefusalError(
            f"plain rotation through the extension differs from the model by {difference:.1e} of its outputs' "
            f"deviation (allowed {ALLOWED[dtype]:.0e}): the model does something with positions that longspan does "
            "not know, and cannot be extended"
        )
