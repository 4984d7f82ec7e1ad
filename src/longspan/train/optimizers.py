"""Optimizers and the learning rate of each step."""

from math import cos, pi
from typing import Any

import torch
from torch import nn

from longspan.pretrained.running.learned import LEARNED
from longspan.train.tables import TrainingTable

BETAS = (0.9, 0.95)


def optimizers_of(model: nn.Module, training: TrainingTable) -> list[torch.optim.Optimizer]:
    """Return the optimizers of all parameters; each parameter belongs to one.

    Matrices decay; vectors, embeddings and what a design learns do not. Muon takes the matrices inside the layers, with
    steps as large as AdamW's.
    """
    groups: dict[str, list[nn.Parameter]] = {"inside": [], "embedding": [], "vector": []}
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    head: Any = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    embeddings |= {id(parameter) for parameter in head.parameters()}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            groups["embedding"].append(parameter)
        elif parameter.ndim == 2 and f".{LEARNED}." not in name:
            groups["inside"].append(parameter)
        else:
            groups["vector"].append(parameter)
    decay, rate = training.weight_decay, training.rate
    plain = [
        {"params": groups["embedding"], "weight_decay": 0.0},
        {"params": groups["vector"], "weight_decay": 0.0},
    ]
    inside = {"params": groups["inside"], "weight_decay": decay}
    if training.optimizer == "adamw":
        return [torch.optim.AdamW([g for g in (inside, *plain) if g["params"]], lr=rate, betas=BETAS)]
    muon = torch.optim.Muon(groups["inside"], lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW([g for g in plain if g["params"]], lr=rate, betas=BETAS)]


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
