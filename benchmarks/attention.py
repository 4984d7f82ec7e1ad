"""Measure attention piece by piece, so that no piece needs a quiet machine for long.

    python benchmarks/attention.py PIECE

Each piece writes a file of its own in results/; `python benchmarks/table.py` puts them on the page.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from longspan.bench.alternatives import alternatives
from longspan.bench.attention import PREFILL, Row, conditions, growth, ratios

RESULTS = Path(__file__).parent / "results"
FAST, EXACT = torch.bfloat16, torch.float32
BIASED = ["alibi", "kerple", "t5", "sandwich"]

PIECES: dict[str, Callable[[], list[Row] | dict[str, Any]]] = {
    "growth": growth,
    "decode": lambda: [row for kind in (EXACT, FAST) for row in ratios(list(PREFILL), "decode", 32768, kind, 30)],
    "forward": lambda: [row for kind in (EXACT, FAST) for row in ratios(list(PREFILL), "forward", 16384, kind, 6)],
    "forward-8k": lambda: [row for kind in (EXACT, FAST) for row in ratios(list(PREFILL), "forward", 8192, kind, 11)],
    "backward": lambda: [
        row
        for kind in (EXACT, FAST)
        for names, length in (([name for name in PREFILL if name not in BIASED], 16384), (BIASED, 8192))
        for row in ratios(names, "forward + backward", length, kind, 2)
    ],
    "alternatives": lambda: alternatives(8192, EXACT, 5),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure one piece and write results/attention-PIECE.json.")
    parser.add_argument("piece", choices=PIECES)
    piece = parser.parse_args().piece
    torch.set_num_threads(2)
    found = {**conditions(), "command": f"python benchmarks/attention.py {piece}"}
    made = PIECES[piece]()
    found |= made if isinstance(made, dict) else {"rows": [asdict(row) for row in made]}
    (RESULTS / f"attention-{piece}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
