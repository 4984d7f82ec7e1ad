"""The processes of a run: which rows and which tokens each reads.

    count = data × context       neighbors share a sequence, and `data` groups of them share the rows of a step
    count = replicas × shards    neighbors share the weights, and every `replicas` of them hold the same part

Both divisions are of the same processes and know nothing of each other: a gradient is the sum over all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from longspan.errors import InputError
from longspan.train.data.batch import Batch
from longspan.train.tables import ParallelTable


@dataclass(frozen=True, eq=False)
class Processes:
    """The processes of a run, as one of them sees it.

    Arguments:
        device: where this process computes.
        rank: of this process.
        count: of all.
        context: processes that share a sequence.
        context_group: those that share this process's sequences; None where it shares none.
        weights: (replicas, shards) of the weights; None where every process holds all of them.
    """

    device: torch.device
    rank: int = 0
    count: int = 1
    context: int = 1
    context_group: Any = None
    weights: DeviceMesh | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    @property
    def data(self) -> int:
        """Groups of processes that read different rows."""
        return self.count // self.context

    def rows(self, part: Batch) -> Batch:
        """Return this process's rows of a part of a step."""
        if self.data == 1:
            return part
        size, own = len(part.inputs) // self.data, self.rank // self.context
        return part.of(lambda x: x[own * size : (own + 1) * size])

    def sum(self, number: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count > 1:
            dist.all_reduce(number)
        return number

    def agreed(self, wanted: bool) -> bool:
        """Return what the first process wants, in all of them."""
        return bool(self.sum(torch.tensor(int(self.first and wanted), device=self.device)))

    def gathered(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, which may have different numbers of them, in the order of their ranks."""
        if self.count == 1:
            return rows
        lengths = torch.zeros(self.count, dtype=torch.int64, device=rows.device)
        lengths[self.rank] = len(rows)
        numbers = self.sum(lengths).tolist()
        filled = rows.new_zeros(max(numbers), *rows.shape[1:])
        filled[: len(rows)] = rows
        found = [torch.empty_like(filled) for _ in numbers]
        dist.all_gather(found, filled)
        return torch.cat([each[:number] for each, number in zip(found, numbers, strict=True)])

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """Let the first process through before the others: they find what it has written."""
        if self.count > 1 and not self.first:
            dist.barrier()
        yield
        if self.count > 1 and self.first:
            dist.barrier()


def check_shares(table: ParallelTable, count: int, rows: int) -> None:
    """Refuse a number of processes that the table or the rows of a part do not fit.

    Arguments:
        count: of processes.
        rows: of a part of a step.

    Errors: InputError.
    """
    needed = max(table.context, table.shards)
    if count == 1 and needed > 1:
        name = "context" if table.context > 1 else "shards"
        raise InputError(
            f"parallel.{name} is {getattr(table, name)} and this is one process: start torchrun --nproc-per-node "
            f"{needed} -m longspan train FILE.toml"
        )
    for name in ("context", "shards"):
        if count % getattr(table, name):
            raise InputError(f"parallel.{name} must divide the {count} processes, got {getattr(table, name)}")
    if rows % (data := count // table.context):
        raise InputError(
            f"training.batch / accumulate must be a multiple of {data}, one row for each group of processes, got {rows}"
        )
