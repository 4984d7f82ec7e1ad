"""Write the table of results/servers.jsonl into docs/audit.md and README.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from settings import BROKEN, CORRECT, LLAMA_CPP, TRANSFORMERS, WRITING

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "servers.jsonl"
PAGES = (HERE.parents[1] / "docs" / "audit.md", HERE / "README.md")
SHOWN = 3
"""Hypotheses that a cell names."""
BEGIN, END = "<!-- servers -->", "<!-- end -->"


def records() -> list[dict[str, Any]]:
    """Return the records, the first of each key."""
    found: dict[str, dict[str, Any]] = {}
    for line in RESULTS.read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["key"], record)
    return list(found.values())


def said(record: dict[str, Any]) -> str:
    """What the audit says of a server, in a table's cell."""
    if not record["fits"]:
        return "nothing fits"
    first, more = record["alike"][:SHOWN], len(record["alike"]) - SHOWN
    return " or ".join([*first, *([f"{more} others"] if more > 0 else [])])


def rows(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    if not found:
        return
    yield "| meant | set | the audit says | ahead, nats per token | right |"
    yield "|---|---|---|---|---|"
    for record in found:
        _, _, name = record["key"].partition(": ")
        name, _, meant = name.partition("; meant ")
        right = "yes" if record["right"] else "**no**"
        yield f"| {meant} | {name} | {said(record)} | {record['ahead']:.2f} | {right} |"


def share(found: Sequence[dict[str, Any]]) -> str:
    """Return how many records are right."""
    return f"{sum(record['right'] for record in found)} of {len(found)}"


def page(found: Sequence[dict[str, Any]]) -> str:
    """Return the text between the two marks."""
    parts: list[str] = []
    for server, note, planned in (
        (LLAMA_CPP, ", over HTTP", (*BROKEN, *CORRECT)),
        (TRANSFORMERS, ", over HTTP, which gives no log-probabilities", WRITING),
    ):
        own = [record for record in found if record["key"].startswith(server)]
        broken = [record for record in own if record["truth"]]
        correct = [record for record in own if not record["truth"]]
        mistakes = sum(bool(setting.truth) for setting in planned)
        parts += ["", f"{server}{note}: {share(broken)} mistakes named ({mistakes} planned).", *rows(broken)]
        parts += [
            "",
            f"{server}: {share(correct)} correct settings not accused ({len(planned) - mistakes} planned).",
            *rows(correct),
        ]
    machine = found[0]["hardware"] if found else {}
    versions = {name: number for record in found for name, number in record["versions"].items()}
    parts += ["", f"{json.dumps(machine)}; {', '.join(f'{name} {number}' for name, number in versions.items())}."]
    return "\n".join(_spaced(parts)).strip()


def _spaced(parts: Sequence[str]) -> Iterator[str]:
    """Yield lines with an empty one between a paragraph and a table."""
    before = ""
    for part in parts:
        if before and part and part.startswith("|") != before.startswith("|"):
            yield ""
        yield part
        before = part


def main() -> None:
    """Write the pages."""
    text = page(records())
    for path in PAGES:
        whole = path.read_text()
        begin, end = whole.index(BEGIN) + len(BEGIN), whole.index(END)
        path.write_text(f"{whole[:begin]}\n\n{text}\n\n{whole[end:]}")


if __name__ == "__main__":
    main()
