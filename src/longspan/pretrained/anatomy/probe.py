"""Probing: find out how each attention layer of a model rotates its channels by watching it do so.

Nothing is known in advance about any family of models: a finite list of layouts is tried on what was seen.
"""

from dataclasses import replace

from torch import nn
from transformers import PreTrainedModel

from longspan.errors import RefusalError
from longspan.pretrained.anatomy.layers import Anatomy
from longspan.pretrained.anatomy.matching import layer_of
from longspan.pretrained.anatomy.trial import run_trial
from longspan.pretrained.running.attention import IMPLEMENTATION, WATCHING
from longspan.pretrained.running.rotary import rotary_modules


def probe(model: nn.Module) -> Anatomy:
    """Return the anatomy of a model, which is left as it was.

    Errors: RefusalError for a model without rotary modules, without transformers' attention interface, or with a
    rotation that none of the known layouts explains.
    """
    if not any(rotary_modules(model)):
        raise RefusalError(
            f"{type(model).__name__} has no rotary position embedding: there is nothing to extend; without any "
            "positions it reads longer texts as it is, and learned positions end where its config says"
        )
    try:
        return _anatomy(model, IMPLEMENTATION)
    except RefusalError:
        raise
    except Exception:  # a model that works on its masks may raise anything when one is no tensor
        return replace(_anatomy(model, WATCHING), own_masks=True)


def _anatomy(model: nn.Module, implementation: str) -> Anatomy:
    trial = run_trial(model, rotary_modules(model), implementation)
    if not trial.observations:
        raise RefusalError(
            f"{type(model).__name__} does not call attention through transformers' interface: it cannot be extended"
        )
    layers = tuple(layer_of(seen, trial.sources) for seen in trial.observations.values())
    if not any(layer.source for layer in layers):
        raise RefusalError(
            f"no attention layer of {type(model).__name__} rotates with position: there is nothing to extend"
        )
    return Anatomy(_text_model(model, set(trial.observations)), layers)


def _text_model(model: nn.Module, attention: set[nn.Module]) -> PreTrainedModel:
    """Return the smallest model of transformers that holds all attention modules."""
    holders = [m for m in model.modules() if isinstance(m, PreTrainedModel) and attention <= set(m.modules())]
    return min(holders, key=lambda holder: sum(1 for _ in holder.modules()))
