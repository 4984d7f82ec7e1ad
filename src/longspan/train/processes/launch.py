"""Joining the processes that torchrun started; without torchrun there is one.

torchrun --nproc-per-node 4 -m longspan train FILE.toml
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from time import sleep

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from longspan.errors import InputError
from longspan.measure.hardware.device import device_named
from longspan.train.processes.group import Processes, check_shares
from longspan.train.settings import Settings

DATA, WEIGHTS = ("data", "context"), ("replicas", "shards")
"""The names of the two divisions."""
PATIENCE = timedelta(hours=12)
"""How long processes wait for each other: the first one tokenizes all texts meanwhile, or measures a cell of a grid."""

SETTLED = 0.1
"""Seconds until Gloo's threads have let go of their last messages. They take Python's lock for that, and who destroys a
group holds it and waits for them: a process that leaves at once sometimes never ends (pytorch/pytorch issue 56297)."""


def count_processes() -> int:
    """Return how many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def alone(settings: Settings) -> Processes:
    """Return the one process of a run.

    Errors: InputError for a device that is not there, and for settings that need several processes.
    """
    _check(settings, 1)
    return Processes(device_named(settings.training.device, "training.device"))


@contextmanager
def joined(settings: Settings) -> Iterator[Processes]:
    """Join the processes that torchrun started, and leave them when all is done.

    Errors: InputError as of `alone`, and for a number of processes that does not fit.
    """
    with joined_for([settings]) as divide:
        yield divide(settings)


@contextmanager
def joined_for(several: Sequence[Settings]) -> Iterator[Callable[[Settings], Processes]]:
    """Join the processes that torchrun started for several runs, one after the other; yield what divides them for each.

    Errors: InputError, as of `joined`, for each of the runs.
    """
    if (count := count_processes()) == 1:
        yield alone
        return
    for settings in several:
        _check(settings, count)
    device = _device(several[0].training.device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield partial(divided, device=device)
    sleep(SETTLED)
    dist.destroy_process_group()  # not after an error: the others may be waiting, and torchrun ends them


def divided(settings: Settings, device: torch.device) -> Processes:
    """Return the processes of the group that this process has joined, divided as the settings say."""
    rank, count, table = dist.get_rank(), dist.get_world_size(), settings.parallel
    group = None
    if table.context > 1:
        mesh = init_device_mesh(device.type, (count // table.context, table.context), mesh_dim_names=DATA)
        group = mesh.get_group("context")
    weights = None
    if table.shards > 1:
        weights = init_device_mesh(device.type, (count // table.shards, table.shards), mesh_dim_names=WEIGHTS)
    return Processes(device, rank, count, table.context, group, weights)


def _check(settings: Settings, count: int) -> None:
    table, training = settings.parallel, settings.training
    check_shares(table, count, training.batch // training.accumulate)
    chunks = 2 * table.context
    if table.context > 1 and settings.data.task is None and training.length % chunks:
        raise InputError(
            f"training.length must be a multiple of {chunks} for parallel.context {table.context}, got "
            f"{training.length}"
        )


def _device(asked: str) -> torch.device:
    """Return the device of this process: the GPU of its number on its machine, or the CPU."""
    found = device_named(asked, "training.device")
    if found.type == "mps" or found.index is not None:
        raise InputError(f"training.device: several processes take cuda or cpu, got {asked!r}")
    if found.type == "cpu":
        return found
    own = device_named(f"cuda:{os.environ.get('LOCAL_RANK', '0')}", "training.device")
    torch.cuda.set_device(own)
    return own
