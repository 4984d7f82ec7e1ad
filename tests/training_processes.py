"""What torchrun does, without its start: processes that train together, forked from one that has imported everything.

Run as a script with a file of jobs; a job is {"ranks", "tables", "folder"} and, for a kill, {"dies": [rank, step]}.
A job {"ranks", "grid", "folder"} is a whole grid, whose steps are counted over all cells. With {"counted": True} the
bytes are counted that PyTorch is asked to send.
Each process writes what it knows to `rank-N.json` in the job's folder. When one process ends badly the others are
killed, as torchrun does.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

LIMIT = 240.0
"""Seconds that a job may take."""


def train_together(jobs: list[dict[str, Any]], folder: Path) -> None:
    """Carry out jobs one after the other; what each process knows lies in the job's folder afterwards."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    text = (
        f"import sys; sys.path[:] = {sys.path!r}; import training_processes; training_processes.launch({str(path)!r})"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=LIMIT * len(jobs))


def known(folder: Path, ranks: int) -> list[dict[str, Any]]:
    """What each process of a job knew at its end."""
    found = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(ranks)]
    assert not any("error" in each for each in found), found
    return found


def launch(path: str) -> None:
    """Fork the processes of each job, and wait for them."""
    import torch

    import longspan.train.run

    torch.set_num_threads(1)
    assert longspan.train.run
    for job in json.loads(Path(path).read_text()):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        Path(job["folder"]).mkdir(parents=True, exist_ok=True)
        children = {_forked(job, rank, port) for rank in range(job["ranks"])}
        while children:
            child, status = os.wait()
            children.discard(child)
            if status:
                for other in children:
                    os.kill(other, signal.SIGKILL)


def _forked(job: dict[str, Any], rank: int, port: int) -> int:
    if child := os.fork():
        return child
    count = str(job["ranks"])
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    report = Path(job["folder"]) / f"rank-{rank}.json"
    try:
        report.write_text(json.dumps(_work(job, rank)))
    except BaseException:
        report.write_text(json.dumps({"error": traceback.format_exc()}))
        if job.get("dies") is None:
            time.sleep(1.0)
            traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _work(job: dict[str, Any], rank: int) -> dict[str, Any]:
    from longspan.errors import LongspanError
    from longspan.train.processes.engine import own_part
    from longspan.train.processes.launch import joined
    from longspan.train.run import Run
    from longspan.train.settings import settings_of

    if "grid" in job:
        return _grid(job, rank)
    settings = settings_of(job["tables"])
    try:
        with joined(settings) as processes:
            run = Run(settings, Path(job["folder"]), processes)
            counted = _counted(run) if job.get("counted") else None
            losses = []
            for step in run.train():
                losses.append(step.loss)
                if job.get("dies") == [rank, step.step]:
                    os.kill(os.getpid(), signal.SIGKILL)
            sent = None if run.sequences is None else run.sequences.bytes_sent
            held = sum(own_part(parameter).numel() for parameter in run.engine.objective.parameters())
    except LongspanError as error:
        return {"refused": str(error)}
    traffic = vars(run.engine.traffic(settings.training.accumulate))
    return {"losses": losses, "sent": sent, "held": held, "traffic": traffic, "counted": counted}


def _counted(run: Any) -> dict[str, float]:
    """Count, from now on, what a process sends of weights and gradients: each collective's bytes by its name."""
    import torch.distributed as dist
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    from longspan.train.processes.replicated import Replicated

    found = {"weights": 0.0, "gradients": 0.0}
    gather, scatter, reduce = dist.all_gather_single, dist.reduce_scatter_single, dist.all_reduce

    def share(group: Any) -> float:
        count = dist.get_world_size(group)
        return (count - 1) / count

    def all_gather_single(output: Any, *args: Any, **kwargs: Any) -> Any:
        found["weights"] += share(kwargs["group"]) * output.nbytes
        return gather(output, *args, **kwargs)

    def reduce_scatter_single(**kwargs: Any) -> Any:
        found["gradients"] += share(kwargs["group"]) * kwargs["input"].nbytes
        return scatter(**kwargs)

    def all_reduce(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if tensor.ndim and kwargs.get("group") is not None:  # the loss and the norm are single numbers
            found["gradients"] += 2 * share(kwargs["group"]) * tensor.nbytes
        return reduce(tensor, *args, **kwargs)

    dist.all_gather_single, dist.reduce_scatter_single, dist.all_reduce = (
        all_gather_single, reduce_scatter_single, all_reduce,
    )  # fmt: skip
    if isinstance(run.engine, Replicated):
        run.engine.wrapped.register_comm_hook(None, allreduce_hook)  # what the wrapper does itself, out of sight
    return found


def _grid(job: dict[str, Any], rank: int) -> dict[str, Any]:
    """Carry out `longspan train GRID`."""
    from longspan.cli.train import train
    from longspan.train.run import Run

    made, own = 0, Run.train

    def counted(self: Run) -> Any:
        nonlocal made
        for step in own(self):
            made += 1
            if job.get("dies") == [rank, made]:
                os.kill(os.getpid(), signal.SIGKILL)
            yield step

    Run.train = counted
    train(Path(job["grid"]), Path(job["folder"]))
    return {"steps": made}
