"""Ray measures what one process measures; a worker that is killed on the way loses and doubles nothing: `make ray`."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from longspan.errors import InputError
from longspan.grid.making import InProcess, made
from longspan.grid.on_ray import OnRay, Source, workers_on_ray
from longspan.measure.corpus.documents import library
from longspan.measure.models.model import LoadedModel
from longspan.survey.probes import LossProbe
from tiny import save_model, write_texts

ray = pytest.importorskip("ray", reason="make ray installs Ray (250 MB)")
TIMES = {"seconds", "time", "peak_bytes"}


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def loaded(name: str) -> LoadedModel:
    return LoadedModel.load(name, "float32", "cpu")


@pytest.fixture(scope="module")
def asked(name: str, loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> list[LossProbe]:
    texts = write_texts(tmp_path_factory.mktemp("texts"), 4, 256)
    documents = library([texts], loaded.tokenizer, 128, 4).documents
    return [
        LossProbe(name, "float32", loaded.fingerprint, 64, method, length, index, document, loss="last_k")
        for index, document in enumerate(documents)
        for method in ("plain", "rerope(window=16)")
        for length in (64, 128)
    ]


@pytest.fixture(scope="module")
def workers(name: str) -> Iterator[OnRay]:
    with workers_on_ray(Source(name, "float32", "cpu"), 2) as opened:
        yield opened


def measured(record: dict[str, Any] | None) -> dict[str, Any]:
    assert record is not None
    return {key: value for key, value in record.items() if key not in TIMES}


def test_ray_measures_what_one_process_measures(workers: OnRay, loaded: LoadedModel, asked: list[LossProbe]) -> None:
    there = [measured(record) for _, record in made(workers, asked)]
    here = [measured(record) for _, record in made(InProcess(loaded), asked)]
    assert [record["key"] for record in there] == [probe.key for probe in asked]
    assert json.loads(json.dumps(there)) == json.loads(json.dumps(here))
    processes = {ray.get(actor.process.remote()) for actor in workers.actors}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_killed_worker_loses_and_doubles_nothing(workers: OnRay, asked: list[LossProbe]) -> None:
    victim = ray.get(workers.actors[0].process.remote())
    keys = []
    for number, (_, record) in enumerate(made(workers, asked)):
        if number == 1:
            os.kill(victim, signal.SIGKILL)
        keys.append(measured(record)["key"])
    assert keys == [probe.key for probe in asked]
    assert ray.get(workers.actors[0].process.remote()) != victim


def test_workers_that_always_die_end_the_run(workers: OnRay, asked: list[LossProbe]) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            for actor in workers.actors:
                ray.kill(actor)
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(InputError, match="workers died while they measured"):
            workers.start(asked[0]).record()
    finally:
        over.set()
        killer.join()


def test_an_error_of_a_measurement_comes_through(workers: OnRay, asked: list[LossProbe]) -> None:
    with pytest.raises(InputError, match="is not the model it was"):
        workers.start(replace(asked[0], fingerprint="another")).record()


def test_more_workers_than_processors_are_refused(workers: OnRay, name: str) -> None:
    with pytest.raises(InputError, match="give fewer"), workers_on_ray(Source(name, "float32"), 99):
        pass
