"""A search as a flow: what failed is the worst and is reported, and no candidate reads a held-out document."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from longspan.measure.models.model import LoadedModel
from longspan.measure.record import Asked, record_of
from longspan.notation import parse
from longspan.rotation.longrope import LongRoPE
from longspan.search.request import Request
from longspan.search.run import run_search
from longspan.search.summary import Summary
from tiny import save_model, write_texts


class Watcher:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.watched: list[tuple[str, int, int]] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def watch(self, stage: str, asked: Any, made: Any, pace: Any) -> None:
        self.watched.append((stage, len(asked), sum(1 for _ in made)))


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Request]:
    model = save_model(tmp_path_factory.mktemp("model"))
    texts = write_texts(tmp_path_factory.mktemp("texts"), 10, 128)

    def made(out: Path, **more: Any) -> Request:
        few = {"docs": 8, "search_docs": 2, "tolerance": 1.0, "budget": 0.001, "dtype": "float32"}
        return Request(str(model), 128, "longspan search", texts=(texts,), out=out, **{**few, **more})

    return made


def sharp(method: str) -> bool:
    """Whether a candidate has a large gain, as about half of them have."""
    rotation = parse(method).rotation if method.startswith("longrope") else None
    return isinstance(rotation, LongRoPE) and rotation.gain > 1.1


def records(out: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def failing(request_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Summary, Watcher, Path]:
    """A search of which candidates with a large gain return NaN."""

    def failing_record(asked: Asked, model: LoadedModel) -> dict[str, Any]:
        made = record_of(asked, model)
        return {**made, "result": None, "failed": "the model returned NaN"} if sharp(asked.method) else made

    monkeypatch.setattr("longspan.search.readings.record_of", failing_record)
    watcher, out = Watcher(), tmp_path / "out"
    return run_search(request_of(out), watcher), watcher, out


def test_a_candidate_that_failed_is_the_worst_and_is_reported(failing: tuple[Summary, Watcher, Path]) -> None:
    summary, watcher, out = failing
    failed = {each["arguments"]["method"] for each in records(out) if "failed" in each}
    assert 1 <= len(failed) < summary.trajectory.candidates
    assert summary.trajectory.failed == {"the model returned NaN": len(failed)}
    assert f"{len(failed)} candidates failed and count as the worst: the model returned NaN" in watcher.said
    assert summary.found.method not in failed
    assert summary.found.cost <= min(rating.cost for rating in summary.known)


def test_a_candidate_that_failed_reads_no_more_documents(failing: tuple[Summary, Watcher, Path]) -> None:
    """And progress still ends at its end."""
    _, watcher, out = failing
    failed = [each["arguments"]["method"] for each in records(out) if "failed" in each]
    assert len(failed) == len(set(failed))
    assert all(asked == made for stage, asked, made in watcher.watched if stage != "search")
    assert next((asked, made) for stage, asked, made in watcher.watched if stage == "search") == (17, 17)


def test_only_the_judged_methods_read_what_is_held_out(request_of: Any, tmp_path: Path) -> None:
    summary = run_search(request_of(tmp_path / "out"), Watcher())
    paths: dict[str, set[str]] = {name: set() for name in ("search", "held out")}
    judged = {summary.found.method, summary.rival.method, "plain"}
    for record in records(tmp_path / "out"):
        document, method = Path(record["arguments"]["document"]["path"]).name, record["arguments"]["method"]
        held_out = document in summary.judgement.documents
        assert held_out or document in summary.setting.documents
        assert not held_out or method in judged
        paths["held out" if held_out else "search"].add(document)
    assert (len(paths["search"]), len(paths["held out"])) == (2, 8)
    assert not paths["search"] & paths["held out"]


def test_a_bound_within_a_short_budget_is_one_batch_and_is_said(request_of: Any, tmp_path: Path) -> None:
    watcher = Watcher()
    summary = run_search(request_of(tmp_path / "out"), watcher)
    assert summary.trajectory.candidates == 9
    assert len(summary.trajectory.best) == 2
    assert any("take about" in line and "more than --budget 0.001" in line for line in watcher.said)
