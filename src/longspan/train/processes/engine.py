"""An engine: it runs the objective on a process's tokens, and makes the gradients of all processes one sum.

Alone        one process
Replicated   every process holds all weights: PyTorch's DistributedDataParallel
Sharded      processes share the weights: PyTorch's fully_shard (FSDP2)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from longspan.train.data.batch import Batch
from longspan.train.forward import Objective
from longspan.train.processes.traffic import Traffic


class Engine(ABC):
    """Runs the objective of a run; afterwards parameters hold the gradient of all processes.

    Arguments:
        objective: whose parameters the engine may shard.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    @abstractmethod
    def add_gradients(
        self, part: Batch, positions: Shaped[Tensor, "_ tokens"] | None, asked: int, *, last: bool
    ) -> Float[Tensor, ""]:
        """Run one part of a step, forward and backward; return its share of the step's loss.

        Arguments:
            part, positions, asked: as for `Objective`, of this process.
            last: whether gradients are complete afterwards.
        """

    def traffic(self, parts: int) -> Traffic:
        """Return what this process sends of weights and gradients in a step that is read in `parts`."""
        return Traffic()

    def clip(self, most: float) -> Float[Tensor, ""]:
        """Scale the gradient of all parameters together to a norm of `most` at most; return its norm before."""
        parameters = list(self.objective.parameters())
        norm = whole(get_total_norm(gradients(parameters)))
        clip_grads_with_norm_(parameters, most, norm)
        return norm


class Alone(Engine):
    """One process."""

    def add_gradients(
        self, part: Batch, positions: Shaped[Tensor, "_ tokens"] | None, asked: int, *, last: bool
    ) -> Float[Tensor, ""]:
        """Run one part of a step."""
        loss = self.objective(part, positions, asked)
        loss.backward()
        return loss.detach()


def gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    """Return the gradients of those parameters that have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that processes may share; all of them must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor that processes may share; it is a view."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shared_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor, known to all processes, divided as another one is; nothing is sent."""
    if not isinstance(other, DTensor):
        return tensor
    placed = tensor.to(other.device)
    return distribute_tensor(placed, other.device_mesh, other.placements, src_data_rank=None)
