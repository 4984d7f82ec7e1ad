"""Processes share weights, gradients and what optimizers keep: `fully_shard`, layer by layer.

The objective is the root: embeddings, last norm and head are its own, so that a head that is tied to the embeddings is
gathered once and stays whole until the loss has its gradient.

Source: Zhao et al. 2023, "PyTorch FSDP", arXiv:2304.11277; Rajbhandari et al. 2020, "ZeRO", arXiv:1910.02054.
"""

from collections.abc import Iterator

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from longspan.train.data.batch import Batch
from longspan.train.forward import Objective
from longspan.train.processes.engine import Engine
from longspan.train.processes.group import Processes


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
        for block in blocks(objective.model):
            fully_shard(block, mesh=mesh)
        self.root: FSDPModule = fully_shard(objective, mesh=mesh)
        for module in objective.modules():
            if isinstance(module, FSDPModule):  # gradients are sums: losses are shares of the step's loss already
                module.set_force_sum_reduction_for_comms(True)
                module.set_gradient_divide_factor(1.0)

    def add_gradients(
        self, part: Batch, positions: Shaped[Tensor, "_ tokens"] | None, asked: int, *, last: bool
    ) -> Float[Tensor, ""]:
        """Run one part of a step; shards are summed in each, replicas in the last one."""
        self.root.set_requires_all_reduce(last)
        loss = self.objective(part, positions, asked)
        loss.backward()
        return loss.detach()


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a model: the members of its outermost lists of modules."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from (member for member in child if any(True for _ in member.parameters()))
        else:
            yield from blocks(child)
