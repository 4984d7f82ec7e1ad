"""Replay studies on the records of `measure.py`: how much worse than the best candidate is what a short study chooses?

    python replay.py            # reads results/*.jsonl, writes results/replay.json and README.md

Documents come in an order drawn at random, a rule reads them as far as its budget allows, and what it chooses is
compared, over all documents, with the candidate that is best there. Budgets are minutes on a machine that takes PACE
seconds for the plain model to read a whole document, as SmolLM2-135M does for 12288 tokens on two cores.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from extend import Extend
from rules import JUDGED, TOLERANCE, Choice, Plan, cells_within, cost, costs, of_2026, plan, racing, verdict
from table import TRUNCATION, Table, means, read, tables

from longspan.study.planning.plan import StudyPlan

HERE = Path(__file__).parent
PACE = 52.0
BUDGETS = (5.0, 15.0, 30.0, 75.0, inf)
DRAWS = 200
FEWEST = 12
"""Documents below which a table is not replayed: eight to judge, three to race, and one to spare."""

INTRODUCTION = """# Regret: what does a short study lose?

`longspan extend` chooses under a budget. Here every candidate was measured on every document, and studies are replayed
on those records: documents in a random order, as many cells as the budget allows, one choice. Regret is what the choice
loses over all documents against the best candidate there: the one with the lowest loss minus share of facts found (two
points of facts weigh as much as 0.02 nats) among those that cost at most 0.02 nats on short texts.

Budgets are minutes on a machine where the plain model reads a whole document in {pace:g} seconds, as SmolLM2-135M reads
12288 tokens on two cores; the processor seconds of the records are scaled to that. `missed` is the share of draws in
which the choice loses more than 0.02 nats or more than 2 points of facts. `judged` is on how many documents; below 8
there is no verdict, and the choice is what `longspan extend` says is ahead so far. Written by `{command}`.

| file | what it does |
|---|---|
| `measure.py` | measures every candidate on every document; resumes |
| `table.py` | reads the records |
| `extend.py` | what `longspan extend` chooses, by the library's own code |
| `rules.py` | the rule of 2026 as it was, and racing alone (`longspan.measure.statistics.racing`) |
| `replay.py` | draws orders, replays the rules, writes this page; `notes.md` is its last part |
"""

Rule = Callable[[Sequence[int]], Choice]


def best_by_costs(table: Table) -> str:
    """The candidate whose loss minus facts is lowest over all documents, of those within the tolerance."""
    everything = range(len(table.documents))
    fair = [name for name in table.candidates if table.price[table.row(name)].mean() <= TOLERANCE]
    return min([TRUNCATION, *fair], key=lambda name: costs(table, name, everything).mean())


def regret(table: Table, chosen: str, best: str) -> dict[str, float]:
    """By how much a choice is worse than the best: nats, and points of facts; negative where it is better."""
    i, j = table.row(chosen), table.row(best)
    return {
        "loss": float(table.loss[i].mean() - table.loss[j].mean()),
        "facts": 100 * float(table.facts[j].mean() - table.facts[i].mean()),
    }


def summary(table: Table, choices: Sequence[Choice], best: str) -> dict[str, Any]:
    """How a rule did over all draws."""
    found = [regret(table, choice.method, best) for choice in choices]
    loss, facts = (np.array([each[key] for each in found]) for key in ("loss", "facts"))
    both = loss + facts / 100
    counts: dict[str, int] = {}
    for choice in choices:
        counts[choice.method] = counts.get(choice.method, 0) + 1
    scale = PACE / table.seconds[1] / 60
    return {
        "loss": float(loss.mean()),
        "facts": float(facts.mean()),
        "together": float(both.mean()),
        "together_90": float(np.quantile(both, 0.9)),
        "missed": float(((loss > 0.02 + 1e-9) | (facts > 2 + 1e-9)).mean()),
        "minutes": float(np.mean([choice.seconds for choice in choices]) * scale),
        "chosen": dict(sorted(counts.items(), key=lambda item: -item[1])),
    }


def replay(table: Table, twice: Table, draws: int) -> dict[str, Any]:
    """Every method over all documents and, where these are enough, every rule under every budget."""
    everything = list(range(len(table.documents)))
    running = [name for name in table.candidates if name not in table.failed]
    best = {"costs": best_by_costs(table), "verdict": verdict(table, running, everything)}
    return {
        "documents": len(table.documents),
        "trained_length": table.trained_length,
        "length": table.length,
        "best": best,
        "failed": table.failed,
        "means": means(table, best["costs"]),
        "replayed": len(twice.documents),
        "rows": list(replays(table, twice, best, draws)) if len(twice.documents) >= FEWEST else [],
    }


def shorter(path: Path, table: Table) -> Table:
    """The table of readings of twice the trained length; `table` where there is none, because N is too short for it."""
    return read(path) if path.exists() else table


def replays(table: Table, twice: Table, best: dict[str, str], draws: int) -> Iterator[dict[str, Any]]:
    """Every rule under every budget, on the same orders of the documents that both tables have."""
    whole, table = table, table.only(twice.documents)
    random = np.random.default_rng(0)
    orders = [random.permutation(len(table.documents)).tolist() for _ in range(draws)]
    for budget in BUDGETS:
        seconds = 60 * budget * table.seconds[1] / PACE
        made, cells = plan(table, seconds), cells_within(table, seconds)
        extend = Extend(table, seconds, twice)
        ours = extend.plan
        rules: dict[str, Rule] = {
            "longspan extend": lambda order, extend=extend, ours=ours: extend(order, ours),
            "rule of 2026": lambda order, made=made: of_2026(table, order, made),
            "racing": lambda order, cells=cells: racing(table, order, cells),
            "racing, loss of the end": lambda order, cells=cells: racing(table, order, cells, half=False),
        }
        for name, rule in rules.items():
            choices = [rule(order) for order in orders]
            row = {"budget": None if budget == inf else budget, "rule": name}
            row |= _planned(name, extend, ours, made, cells)
            row |= {f"against_{key}": summary(whole, choices, value) for key, value in best.items()}
            print(table.name, budget, name, json.dumps(row["against_costs"]), flush=True)
            yield row


def _planned(name: str, extend: Extend, ours: StudyPlan, made: Plan, cells: float) -> dict[str, Any]:
    """What a rule meant to measure."""
    if name == "longspan extend":
        parts = {
            key: getattr(ours, key)
            for key in ("readings", "entry_length", "race_length", "finalists", "reserved", "contexts", "lengths")
        }
        counts = {"whole": len(ours.whole), "judge": len(ours.judge)}
        return {"plan": {**parts, **counts}, "planned": ours.seconds(extend.pace)}
    if name == "rule of 2026":
        return {"plan": {**vars(made), "judge": JUDGED}, "planned": cost(made, extend.table)}
    return {"cells": cells}


def page(found: dict[str, Any], command: str) -> str:
    """README.md."""
    lines = [INTRODUCTION.format(pace=PACE, command=command)]
    for name, each in found.items():
        lines += _section(name, each)
    return "\n".join(lines) + _notes()


def _section(name: str, found: dict[str, Any]) -> list[str]:
    failed = ", ".join(f"`{each}`" for each in found["failed"])
    return [
        f"## {name}",
        "",
        f"{found['documents']} documents of {found['length']} tokens, trained on {found['trained_length']}; "
        f"studies draw from {found['replayed']}. Best: "
        f"`{found['best']['costs']}`; by the rule of 2026 on all documents: `{found['best']['verdict']}`."
        + (f" Not to be had on this model: {failed}." if failed else ""),
        "",
        *(_replayed(found["rows"]) or [f"Not replayed yet: {FEWEST} documents are needed."]),
        "",
        "In brackets: standard deviation over documents of the difference to the best.",
        "",
        "| method | loss of the end | of the second half | facts | cost on short texts | seconds |",
        "|---|---|---|---|---|---|",
        *map(_mean, found["means"]),
        "",
    ]


def _replayed(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| budget | rule | judged | minutes used | loss, nats | facts, points | both, nats | 90 % of draws below "
        "| missed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        each = row["against_costs"]
        budget = "none" if row["budget"] is None else f"{row['budget']:g}"
        lines.append(
            f"| {budget} | {row['rule']} | {row['plan']['judge'] if 'plan' in row else ''} | {each['minutes']:.0f} | "
            f"{each['loss']:+.3f} | {each['facts']:+.1f} | "
            f"{each['together']:+.3f} | {each['together_90']:+.3f} | {each['missed']:.0%} |"
        )
    return lines if rows else []


def _mean(row: dict[str, Any]) -> str:
    def spread(key: str, form: str) -> str:
        return "" if row[key] is None else f"({format(row[key], form)})"

    return (
        f"| `{row['method']}` | {row['loss']:.3f} {spread('loss_spread', '.3f')} | {spread('half_spread', '.3f')} | "
        f"{row['facts']:.0%} {spread('facts_spread', '.0%')} | {row['price']:+.3f} | {row['seconds']:.2f} |"
    )


def _notes() -> str:
    path = HERE / "notes.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> None:
    """Replay all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--out", type=Path, default=HERE / "README.md")
    arguments = parser.parse_args()
    found = {
        table.name: replay(table, shorter(arguments.results / "twice" / f"{table.name}.jsonl", table), arguments.draws)
        for table in tables(arguments.results)
    }
    (arguments.results / "replay.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    command = shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])
    arguments.out.write_text(page(found, command).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
