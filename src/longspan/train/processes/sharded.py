"""Processes share weights, gradients and what optimizers keep: `fully_shard`, layer by layer.

The objective is the root: embeddings, last norm and head are its own, so that a head that is tied to the embeddings is
gathered once and stays whole until the loss has its gradient.

Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277; Rajbhandari et al. 2020, "ZeRO", arXiv:1910.02054.
"""

from collections.abc import Iterable, Iterator

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from longspan.train.data.batch import Batch
from longspan.train.forward import Objective
from longspan.train.processes.engine import Engine
from longspan.train.processes.group import Processes
from longspan.train.processes.traffic import Traffic, filled, sharded


class Sharded(Engine):
    """Weights that processes share.

    Arguments:
        processes: of the run; `weights` divides them.
    """

    def __init__(self, objective: Objective, processes: Processes) -> None:
        super().__init__(objective)
        assert processes.weights is not None
        replicas = processes.count // processes.weights.size(1)
        mesh = processes.weights["shards"] if replicas == 1 else processes.weights
        layers = list(blocks(objective.model))
        self._part, self._step = _traffic(objective, layers, processes.weights.size(1), replicas)
        for block in layers:
            fully_shard(block, mesh=mesh)
        self.root: FSDPModule = fully_shard(objective, mesh=mesh)
        for module in objective.modules():
            if isinstance(module, FSDPModule):  # gradients are sums: losses are shares of the step's loss already
                module.set_force_sum_reduction_for_comms(True)
                module.set_gradient_divide_factor(1.0)

    def traffic(self, parts: int) -> Traffic:
        """Return what this process sends: weights and gradients of shards in each part, of replicas once a step."""
        return self._part.times(parts) + self._step

    def add_gradients(
        self, part: Batch, positions: Shaped[Tensor, "_ tokens"] | None, asked: int, *, last: bool
    ) -> Float[Tensor, ""]:
        """Run one part of a step; shards are summed in each, replicas in the last one."""
        self.root.set_requires_all_reduce(last)
        loss = self.objective(part, positions, asked)
        loss.backward()
        return loss.detach()


def _traffic(objective: nn.Module, layers: Iterable[nn.Module], shards: int, replicas: int) -> tuple[Traffic, Traffic]:
    """Return the traffic of one part of a step, and what a whole step adds.

    Layers give their weights up after the forward pass, so that the backward pass gathers them again; the root keeps
    its own.
    """
    every = dict.fromkeys(objective.parameters())
    found, inside = Traffic(), set[nn.Parameter]()
    for layer in layers:
        own = [each for each in layer.parameters() if each not in inside]
        inside.update(own)
        found += sharded(own, shards, gathers=2)
    found += sharded([each for each in every if each not in inside], shards, gathers=1)
    held = sum(filled(each, shards) for each in every if each.requires_grad) / shards
    return found, Traffic(gradients=2 * (replicas - 1) / replicas * held)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a model: the members of its outermost lists of modules."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from (member for member in child if any(True for _ in member.parameters()))
        else:
            yield from blocks(child)
