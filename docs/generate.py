"""Write what README.md takes from elsewhere: tables and figures from committed results, the list of methods.

    python docs/generate.py

A part stands between `<!-- NAME -->` and `<!-- end -->`; everything else in README.md is written by hand.
"""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from longspan.catalogue import methods
from longspan.report.figure import loss_by_context
from longspan.report.palette import standalone
from longspan.report.table import table
from longspan.report.verdict import headline

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
FIGURES = ROOT / "docs" / "figures"
PART = re.compile(r"<!-- (results|methods) -->\n.*?<!-- end -->", re.DOTALL)


def generated() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    summaries = {path.parent.name: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/summary.json"))}
    parts = {"results": _results(summaries), "methods": _methods()}
    readme = ROOT / "README.md"
    text = PART.sub(lambda found: f"<!-- {found[1]} -->\n{parts[found[1]]}<!-- end -->", readme.read_text())
    figures = {FIGURES / f"{name}.svg": standalone(loss_by_context(summary)) for name, summary in summaries.items()}
    return {readme: text, **figures}


def _results(summaries: dict[str, Any]) -> str:
    """One section per committed study."""
    sections = []
    for name, summary in summaries.items():
        setting = summary["setting"]
        sections.append(
            f"**{headline(summary)}** (`{setting['command']}`: {setting['model']}, trained on "
            f"{setting['trained_length']} tokens; {len(setting['documents'])} documents, 95 % intervals; "
            f"chance is 25 %; {setting['dtype']}, {setting['hardware']}, torch {setting['versions']['torch']})\n\n"
            f"{table(summary)}\n\n"
            f"![Loss of the same last tokens against context](docs/figures/{name}.svg)\n"
        )
    return "\n".join(sections)


def _methods() -> str:
    """Every method, by the question it answers."""
    slots: dict[str, list[str]] = defaultdict(list)
    for method in methods().values():
        slots[method.slot].append(f"- `{method.name}`: {method.summary}")
    return "\n".join(f"**{slot}**\n\n" + "\n".join(lines) + "\n" for slot, lines in slots.items())


def main() -> None:
    """Write all of it."""
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
