"""Folders of results as the verbs write them, made of numbers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from report.summaries import summary

METHODS = {"truncation": 3.0, "plain": 5.0, "rerope(window=256)": 2.9, "yarn(factor=8.0)": 3.2}


def study(
    folder: Path,
    losses: Mapping[str, Sequence[float]] | None = None,
    texts: str = "novel",
    rights: Mapping[str, Sequence[int]] | None = None,
    **setting: Any,
) -> Path:
    """A study of eight documents; without losses it has no records.

    Arguments:
        losses: by method, one for each document.
        texts: what the documents are called and known by.
        rights: right answers of two, by method and document; one of two where they are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = summary()
    found["setting"] |= {"documents": [f"{texts}-{i}.txt" for i in range(8)], **setting}
    (folder / "run.json").write_text("{}")
    (folder / "summary.json").write_text(json.dumps(found))
    if losses is not None:
        lines = []
        for method, values in losses.items():
            for i, loss in enumerate(values):
                right = 1 if rights is None else rights[method][i]
                lines.append(reading(method, loss, f"{texts}-{i}", right))
                lines.append(reading(method, 99.0, f"{texts}-{i}", 2, length=2048))  # another length does not count
                lines.append(reading(method, 99.0, f"raced-{i}", 2))  # nor does the race
        (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"key":"cut')
    return folder


def reading(method: str, loss: float, text: str, right: int, length: int = 4096) -> dict[str, Any]:
    kind = "truncation" if method == "truncation" else "reading"
    arguments = {
        "kind": kind,
        "model": "bundled",
        "dtype": "float32",
        "fingerprint": "0" * 16,
        "trained_length": 512,
        "method": "plain" if kind == "truncation" else method,
        "document": {"path": f"/somewhere/{text}.txt", "start": 0, "length": 4096, "digest": text},
        "length": length,
        "tail": 128,
        "seed": 0,
    }
    questions = [{"depth": 0.5, "distance": 2000, "right": i < right, "scores": []} for i in range(2)]
    near = {"depth": 0.9, "distance": 100, "right": True, "scores": []}
    result = {"loss": loss, "questions": [*questions, near]}
    return {"key": f"{method} {text} {length}", "arguments": arguments, "result": result}


def survey(folder: Path, scores: Mapping[tuple[str, int], Sequence[float]], fingerprint: str = "0" * 16) -> Path:
    """A survey of one task and one loss, by method and length; the loss is the score plus one, on documents.

    The task needs no text; the loss has documents of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    methods, lengths = dict.fromkeys(method for method, _ in scores), dict.fromkeys(length for _, length in scores)
    own = {"model": "bundled", "dtype": "float32", "fingerprint": fingerprint, "trained_length": 512}

    def row(method: str, more: float) -> dict[str, Any]:
        by_length = {n: [value + more for value in scores[method, n]] for n in lengths}
        return {
            str(n): {"value": sum(v) / len(v), "low": min(v), "high": max(v), "documents": len(v)}
            for n, v in by_length.items()
        }

    tasks = [{"task": "mqar", "method": m, "scores": row(m, 0.0), "failed": None} for m in methods]
    losses = [{"loss": "last_k", "method": m, "unit": "nats", "values": row(m, 1.0), "failed": None} for m in methods]
    setting = {**own, "lengths": list(lengths)}
    (folder / "summary.json").write_text(json.dumps({"setting": setting, "tasks": tasks, "losses": losses}))
    lines = []
    for (method, length), values in scores.items():
        for index, value in enumerate(values):
            common = {**own, "method": method, "length": length, "index": index}
            document = {"path": f"/x/{index}.txt", "start": 0, "length": max(lengths), "digest": f"d{index}"}
            task = {"kind": "task", **common, "document": None, "task": "mqar"}
            lines += [
                {**task, "control": "", "value": {"score": value}},
                {**task, "control": "shuffled", "value": {"score": 9}},
                {"kind": "loss", **common, "document": document, "loss": "last_k", "value": {"value": value + 1}},
            ]
    records = [{"key": str(i), "result": line.pop("value"), "arguments": line} for i, line in enumerate(lines)]
    (folder / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder
