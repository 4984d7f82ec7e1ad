"""A model, texts and settings small enough to train in a test."""

from pathlib import Path
from typing import Any

from longspan.train.settings import Settings, settings_of

MODEL = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}


def texts(folder: Path, count: int = 3, size: int = 400) -> Path:
    """Files of letters that repeat with a period of their own."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.txt").write_text("".join(chr(97 + (i * (number + 3)) % 23) for i in range(size)))
    return folder


def settings(folder: Path, plan: str = "kerple_log", **training: Any) -> Settings:
    """Twelve steps of two rows; arguments named model_x, design_x, data_x and log_x go to those tables."""
    tables: dict[str, dict[str, Any]] = {"model": {**MODEL}, "design": {"plan": plan}, "log": {}}
    tables["data"] = {"train": [str(texts(folder / "texts"))]}
    for name in list(training):
        for table in tables:
            if name.startswith(f"{table}_"):
                tables[table][name.removeprefix(f"{table}_")] = training.pop(name)
    given = {"length": 16, "steps": 12, "batch": 2, "warmup": 2, "save_every": 4, "rate": 1e-2, **training}
    return settings_of({"training": given, **tables})
