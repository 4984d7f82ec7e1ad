"""Every process holds all weights: DistributedDataParallel adds up gradients while the backward pass still runs."""

from contextlib import nullcontext

from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from longspan.train.data.batch import Batch
from longspan.train.forward import Objective
from longspan.train.processes.engine import Engine
from longspan.train.processes.group import Processes
from longspan.train.processes.traffic import Traffic, replicated


class Replicated(Engine):
    """Weights that every process holds.

    Arguments:
        processes: of the run.
    """

    def __init__(self, objective: Objective, processes: Processes) -> None:
        super().__init__(objective)
        self.count = processes.count
        # A weight may have no part in some rows, as those of an expert that no token goes to.
        self.wrapped = DistributedDataParallel(objective, forward_sync_buffers=False, find_unused_parameters=True)

    def traffic(self, parts: int) -> Traffic:
        """Return what this process sends: gradients, once a step."""
        return replicated(self.objective.parameters(), self.count)

    def add_gradients(
        self, part: Batch, positions: Shaped[Tensor, "_ tokens"] | None, asked: int, *, last: bool
    ) -> Float[Tensor, ""]:
        """Run one part of a step; gradients are exchanged in the last one."""
        with nullcontext() if last else self.wrapped.no_sync():
            loss = self.wrapped(part, positions, asked)
            (loss * self.count).backward()  # the wrapper averages gradients, and a loss is a share of the sum already
        return loss.detach()
