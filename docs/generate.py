"""Write what is not written by hand: results.md and the figures, from committed results, and two parts of README.md.

    python docs/generate.py

A part stands between `<!-- NAME -->` and `<!-- end -->`: one study, and the list of methods.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from longspan.catalogue import methods
from longspan.report.figure import loss_by_context, loss_by_position, several_contexts
from longspan.report.palette import standalone
from longspan.report.table import table
from longspan.report.verdict import bargain, grounds, headline

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"
FIGURES = ROOT / "docs" / "figures"
README_STUDY = "extend-smollm2-16384"
DRAWN = {"position": loss_by_position, "context": loss_by_context}
CAPTIONS = {"position": "Loss by position in the text", "context": "Loss of the same last tokens against context"}
PART = re.compile(r"<!-- (results|methods) -->\n.*?<!-- end -->", re.DOTALL)


def generated() -> dict[Path, str]:
    """Every generated file and what it must hold."""
    summaries = {path.parent.name: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/summary.json"))}
    shown = summaries[README_STUDY]
    results = _study(README_STUDY, shown, "docs/", ["position"], bargain(shown))
    parts = {"results": results, "methods": _methods()}
    readme = ROOT / "README.md"
    text = PART.sub(lambda found: f"<!-- {found[1]} -->\n{parts[found[1]]}<!-- end -->", readme.read_text())
    figures = {
        FIGURES / f"{name}-{kind}.svg": standalone(DRAWN[kind](summary))
        for name, summary in summaries.items()
        for kind in _figures(summary)
    }
    return {readme: text, ROOT / "docs" / "results.md": _results(summaries), **figures}


def _results(summaries: dict[str, Any]) -> str:
    """Every committed study."""
    text = "# What `longspan extend` found\n\nFrom `experiments/results`, written by the commands that are named.\n"
    for name, summary in summaries.items():
        text += f"\n## {name}\n\n{_study(name, summary, '', _figures(summary))}\n"
        text += "".join(f"- {line}\n" for line in grounds(summary))
        if summary["left_out"]:
            text += f"- Left out, to keep to the budget: {'; '.join(summary['left_out'])}.\n"
    return text


def _study(name: str, summary: dict[str, Any], folder: str, figures: list[str], sentences: Sequence[str] = ()) -> str:
    """Verdict, table and figures."""
    setting = summary["setting"]
    drawn = "".join(f"\n![{CAPTIONS[kind]}]({folder}figures/{name}-{kind}.svg)\n" for kind in figures)
    return (
        f"{' '.join([f'**{headline(summary)}**', *sentences])} (`{setting['command']}`: {setting['model']}, trained on "
        f"{setting['trained_length']} tokens; {len(setting['documents'])} documents, 95 % intervals; "
        f"chance is 25 %; {setting['dtype']}, {setting['hardware']}, torch {setting['versions']['torch']})\n\n"
        f"{table(summary)}\n{drawn}"
    )


def _figures(summary: dict[str, Any]) -> list[str]:
    """A line through one context is none."""
    return ["position", "context"] if several_contexts(summary) else ["position"]


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
