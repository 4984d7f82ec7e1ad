"""Optimizers and the learning rate of each step."""

from collections.abc import Mapping
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from longspan.errors import RefusalError
from longspan.pretrained.linear import StructuredLinear
from longspan.pretrained.mixing import MixerModule
from longspan.pretrained.running.learned import LEARNED
from longspan.train.tables import TrainingTable

BETAS = (0.9, 0.95)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def optimizers_of(model: nn.Module, training: TrainingTable) -> list[torch.optim.Optimizer]:
    """Return the optimizers of all parameters; each parameter belongs to one.

    Matrices decay, those of mixers, of experts and structured ones as well; vectors, embeddings, convolutions of an
    architecture and what else a design learns do not. Muon takes the matrices inside the layers, expert by expert, and
    block by block where they are block-diagonal, with steps as large as AdamW's.
    """
    head: Any = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    embeddings = {p for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    embeddings |= set(head.parameters())
    mixing = (module for module in model.modules() if isinstance(module, MixerModule))
    structured = (module for module in model.modules() if isinstance(module, StructuredLinear))
    of_design = {p: axes for module in mixing for p, axes in module.matrices.items()}
    stacks = {p: axes for module in structured for p, axes in module.stacks.items() if p.requires_grad}
    convolutions = {p for module in model.modules() if isinstance(module, CONVOLUTIONS) for p in module.parameters()}
    inside, groups = dict[nn.Parameter, int](), dict[str, list[nn.Parameter]](embedding=[], vector=[])
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or parameter in stacks:
            continue
        if parameter in embeddings:
            groups["embedding"].append(parameter)
        elif parameter in of_design:
            inside[parameter] = of_design[parameter]
        elif f".{LEARNED}." in name or parameter in convolutions or name.endswith("bias"):
            groups["vector"].append(parameter)
        elif parameter.ndim == 2:
            inside[parameter] = 1
        elif parameter.ndim == 3 and min(parameter.shape[1:]) > 1:  # the experts of a layer
            stacks[parameter] = 1
        else:
            groups["vector"].append(parameter)
    decay, rate, optimizers = training.weight_decay, training.rate, list[torch.optim.Optimizer]()
    if training.optimizer == "muon":
        matrices = {parameter: axes for parameter, axes in inside.items() if axes}
        inside = {parameter: axes for parameter, axes in inside.items() if not axes}
        optimizers.append(FlatMuon(matrices, stacks, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
        stacks = {}
    plain = [
        {"params": [*inside, *stacks], "weight_decay": decay},
        {"params": groups["embedding"], "weight_decay": 0.0},
        {"params": groups["vector"], "weight_decay": 0.0},
    ]
    return [*optimizers, torch.optim.AdamW([g for g in plain if g["params"]], lr=rate, betas=BETAS)]


class FlatMuon(torch.optim.Muon):
    """Muon for matrices whose rows or columns are several axes, such as heads and their channels.

    Of a block-diagonal matrix each block is a matrix of its own: the orthogonal matrix that is nearest to it has the
    blocks that are nearest to its blocks. Experts are matrices of their own as well.

    Arguments:
        matrices: parameters, each with the number of its axes, from the first on, that are rows.
        stacks: parameters whose first axis numbers blocks or experts, each with the number of axes after it that are
            rows.
        settings: of Muon.

    Errors: RefusalError for blocks that processes share: a process would have to hold each of them whole.
    """

    def __init__(
        self, matrices: Mapping[nn.Parameter, int], stacks: Mapping[nn.Parameter, int] | None = None, **settings: Any
    ) -> None:
        # A flat parameter lies in the memory of the one that it stands for: steps and loading reach both.
        self._flat = {
            p: [p] if p.ndim == 2 else [nn.Parameter(_rows(p.detach(), axes))] for p, axes in matrices.items()
        }
        self._axes = dict(matrices)
        self._stacks = dict(stacks or {})
        if any(isinstance(p, DTensor) for p in self._stacks):
            raise RefusalError(
                "Muon takes each expert, and each block of a Monarch matrix, whole, and these processes share weights: "
                'leave out parallel.shards, or use training.optimizer = "adamw"'
            )
        for p, axes in self._stacks.items():
            self._flat[p] = [nn.Parameter(_rows(block, axes)) for block in p.detach()]
        super().__init__([flat for each in self._flat.values() for flat in each], **settings)

    def step(self, closure: Any = None) -> Any:
        """Make a step from the gradients of the parameters."""
        for parameter, flats in self._flat.items():
            grad = None if parameter.grad is None else parameter.grad.detach()
            if parameter in self._stacks:
                for number, flat in enumerate(flats):
                    flat.grad = None if grad is None else _rows(grad[number], self._stacks[parameter])
            elif flats[0] is not parameter:
                flats[0].grad = None if grad is None else _rows(grad, self._axes[parameter])
        return super().step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the parameters."""
        super().zero_grad(set_to_none)
        for parameter in self._flat:
            parameter.grad = None


def _rows(values: Tensor, axes: int) -> Tensor:
    return values.view(values.shape[:axes].numel(), -1)


def rate_at(step: int, training: TrainingTable) -> float:
    """Return the learning rate of a step, counted from 0, as a share of the highest.

    >>> training = TrainingTable(steps=100, warmup=10, schedule="wsd", decay_from=0.5, lowest=0.0)
    >>> [round(rate_at(step, training), 2) for step in (0, 9, 49, 75, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.02]
    """
    if step < training.warmup:
        return (step + 1) / training.warmup
    if training.schedule == "cosine":
        done = (step - training.warmup) / max(1, training.steps - training.warmup)
        fallen = (1 + cos(pi * done)) / 2
    else:
        start = max(training.warmup, training.decay_from * training.steps)
        fallen = min(1.0, (training.steps - step) / max(1.0, training.steps - start))
    return training.lowest + (1 - training.lowest) * fallen
