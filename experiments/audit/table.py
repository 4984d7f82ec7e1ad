"""Write the table of results/servers.jsonl into docs/audit.md and README.md."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from settings import BROKEN, CORRECT, LLAMA_CPP, TRANSFORMERS

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "servers.jsonl"
PAGES = (HERE.parents[1] / "docs" / "audit.md", HERE / "README.md")
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
    return " or ".join(record["alike"])


def rows(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
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
    of_llama = [record for record in found if record["key"].startswith(LLAMA_CPP)]
    broken = [record for record in of_llama if record["truth"]]
    correct = [record for record in of_llama if not record["truth"]]
    writing = [record for record in found if record["key"].startswith(TRANSFORMERS)]
    parts = [
        f"{LLAMA_CPP}, broken: {share(broken)} mistakes named (of {len(BROKEN)} planned).",
        *rows(broken),
        f"{LLAMA_CPP}, correct: {share(correct)} not accused (of {len(CORRECT)} planned): "
        f"{'; '.join(sorted({record['key'].partition(': ')[2].partition(';')[0] for record in correct}))}; each for "
        f"{', '.join(sorted({record['expect'] for record in correct}))}.",
    ]
    if wrong := [record for record in correct if not record["right"]]:
        parts += ["", *rows(wrong)]
    if writing:
        parts += ["", f"{TRANSFORMERS}, which gives no log-probabilities: {share(writing)} right.", "", *rows(writing)]
    machine = found[0]["hardware"] if found else {}
    versions = {name: number for record in found for name, number in record["versions"].items()}
    parts += ["", f"{json.dumps(machine)}; {', '.join(f'{name} {number}' for name, number in versions.items())}."]
    return "\n".join(_spaced(parts))


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
