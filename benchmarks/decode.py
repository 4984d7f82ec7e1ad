"""What one decoding step costs against a long cache: `python benchmarks/decode.py`."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from longspan.bench.attention import PREFILL, conditions, measure

OUT = Path(__file__).parent / "results" / "attention-decode.json"

if __name__ == "__main__":
    torch.set_num_threads(2)
    found = {**conditions(), "command": "python benchmarks/decode.py"}
    names, kinds = list(PREFILL), (torch.float32, torch.bfloat16)
    rows = [row for kind in kinds for row in measure(names, "decode", 32768, kind, 30)]
    OUT.write_text(json.dumps({**found, "rows": [asdict(row) for row in rows]}, indent=1) + "\n", encoding="utf-8")
