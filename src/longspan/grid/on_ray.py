"""Measurements on a Ray cluster: each worker loads the model once; this process alone writes records.

A worker that dies is replaced, and its measurements are made again. A measurement that several workers died of ends the
run with one line; what was measured before is kept.

Source: Ray's documentation, "Fault tolerance: actors" and "Ray Core API".
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from longspan.errors import InputError
from longspan.grid.making import InProcess, Started, Workers
from longspan.measure.hardware.device import AUTO
from longspan.measure.models.model import LoadedModel
from longspan.measure.record import Asked, record_of

ATTEMPTS = 3
"""Workers that may die of one measurement."""


@dataclass(frozen=True)
class Source:
    """What `LoadedModel.load` takes."""

    name: str
    dtype: str
    device: str = AUTO


class Worker:
    """One process of the cluster, with the model in memory.

    Arguments:
        source: where the model comes from.
    """

    def __init__(self, source: Source) -> None:
        self.model = LoadedModel.load(source.name, source.dtype, source.device)

    def record(self, asked: Asked) -> dict[str, Any]:
        """Make a measurement."""
        return record_of(asked, self.model)

    def process(self) -> int:
        """Return the number of this process."""
        return os.getpid()


class OnRay:
    """Workers of a Ray cluster; `workers_on_ray` opens them.

    Arguments:
        ray: the module.
        kind: the actor's class, with the resources that each worker needs.
        source: where each worker's model comes from.
        count: of workers.
    """

    def __init__(self, ray: Any, kind: Any, source: Source, count: int) -> None:
        self.ray, self.kind, self.source, self.count = ray, kind, source, count
        self.actors = [kind.remote(source) for _ in range(count)]
        self._sent: list[list[Any]] = [[] for _ in range(count)]

    def start(self, asked: Asked) -> Started:
        """Hand a measurement to the worker that has fewest."""
        return _There(self, asked)

    def send(self, asked: Asked) -> tuple[int, Any, Any]:
        """Return the place of the worker that has fewest measurements, the worker, and what stands for the record."""
        for place, sent in enumerate(self._sent):
            if sent:
                self._sent[place] = self.ray.wait(sent, num_returns=len(sent), timeout=0)[1]
        place = min(range(self.count), key=lambda place: len(self._sent[place]))
        actor = self.actors[place]
        self._sent[place].append(actor.record.remote(asked))
        return place, actor, self._sent[place][-1]

    def replace(self, place: int, dead: Any) -> None:
        """Put a new worker in the place of a dead one, unless that was done."""
        if self.actors[place] is dead:
            self.actors[place] = self.kind.remote(self.source)


class _There:
    """A measurement that a worker makes."""

    def __init__(self, workers: OnRay, asked: Asked) -> None:
        self.workers, self.asked = workers, asked
        self.place, self.actor, self.reference = workers.send(asked)

    def record(self) -> dict[str, Any]:
        """Return its record.

        Errors: those of `record_of`; InputError where workers die of it.
        """
        errors = self.workers.ray.exceptions
        for _ in range(ATTEMPTS):
            try:
                return self.workers.ray.get(self.reference)
            except errors.RayTaskError as error:
                raise error.cause from error  # what the measurement itself raised
            except errors.RayActorError:
                self.workers.replace(self.place, self.actor)
                self.place, self.actor, self.reference = self.workers.send(self.asked)
        raise InputError(
            f"{ATTEMPTS} Ray workers died while they measured {self.asked}: they may lack memory; what was measured is "
            "kept; give fewer workers, or run without --ray"
        )


@contextmanager
def workers_on_ray(source: Source, count: int) -> Iterator[OnRay]:
    """Open so many workers, each with the model in memory, and end them with the context.

    Where RAY_ADDRESS names a cluster, they are its; otherwise one is started on this machine.

    Errors: InputError where Ray is not installed, or the cluster has fewer processors than workers.
    """
    if count < 1:
        raise InputError(f"--ray must be at least 1 worker, got {count}")
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise InputError('--ray needs Ray: pip install "longspan[ray]"') from None
    begun = not ray.is_initialized()
    if begun:
        size = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": count, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level="ERROR", **size)
    workers = None
    try:
        resources = ray.cluster_resources()
        if resources.get("CPU", 0) < count:
            raise InputError(
                f"--ray asks for {count} workers and the cluster has {resources.get('CPU', 0):g} processors: give fewer"
            )
        needs = {"num_cpus": 1, **({"num_gpus": 1} if resources.get("GPU") and source.device != "cpu" else {})}
        workers = OnRay(ray, ray.remote(**needs)(Worker), source, count)
        yield workers
    finally:
        if begun:
            ray.shutdown()
        elif workers is not None:
            for actor in workers.actors:
                ray.kill(actor)


@contextmanager
def workers_for(model: LoadedModel, source: Source, count: int | None) -> Iterator[Workers]:
    """Open workers on Ray, or where none are asked for, this process with the model that it has.

    Arguments:
        model: the loaded model.
        source: where it comes from.
        count: of workers on Ray; None for none.

    Errors: as of `workers_on_ray`.
    """
    if count is None:
        yield InProcess(model)
        return
    with workers_on_ray(source, count) as workers:
        yield workers
