"""Checkpoints that are damaged at random: what a broken disk, a bad script or a bad neighbor makes of them."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 7, 4096, 0.5, 1e300, "", "x", "../x", "float32", [], [0], ["x"], [None, 2], {},
    {"x": 1}, {"rope_type": "x"},
)  # fmt: skip


def damage(folder: Path, kind: str, seed: int) -> str:
    """Change one file of a checkpoint; returns what was done."""
    return KINDS[kind](folder, random.Random(f"{kind} {seed}"))


def config(folder: Path, draw: random.Random) -> str:
    return _json(folder / "config.json", draw)


def extension(folder: Path, draw: random.Random) -> str:
    return _json(folder / "config.json", draw, within="context_extension")


def weights(folder: Path, draw: random.Random) -> str:
    return _bytes(folder / "model.safetensors", draw) if draw.random() < 0.5 else _header(folder, draw)


def tokenizer(folder: Path, draw: random.Random) -> str:
    path = folder / draw.choice(["tokenizer.json", "tokenizer_config.json"])
    return _json(path, draw) if draw.random() < 0.8 else _bytes(path, draw)


def gguf(folder: Path, draw: random.Random) -> str:
    return _bytes(folder / "model.gguf", draw, near=2000)


KINDS: dict[str, Callable[[Path, random.Random], str]] = {
    each.__name__: each for each in (config, extension, weights, tokenizer, gguf)
}


def copied(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(folder, to))


def change_config(folder: Path, **fields: Any) -> Path:
    """Set fields of its config; returns the folder."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def _json(path: Path, draw: random.Random, within: str | None = None) -> str:
    """Give another value to a place in it, drop it, or add one."""
    whole = json.loads(path.read_text())
    places = list(_places(whole if within is None else {within: whole[within]}))
    *way, last = draw.choice(places)
    inner = whole
    for key in way:
        inner = inner[key]
    value: Any = "dropped"
    if draw.random() < 0.2:
        del inner[last]
    else:
        value = inner[last] = draw.choice(VALUES)
    path.write_text(json.dumps(whole))
    return f"{path.name} {[*way, last]}: {value!r}"


def _places(value: Any) -> list[list[Any]]:
    """The way to each value; of many alike, the first few."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [way for key in list(keys)[:40] for way in ([key], *([key, *rest] for rest in _places(value[key])))]


def _bytes(path: Path, draw: random.Random, near: int = 400) -> str:
    """Cut it, or overwrite a few of its bytes, most often where its header is."""
    whole = bytearray(path.read_bytes())
    if draw.random() < 0.3:
        size = draw.choice([0, 1, 7, 8, 9, draw.randrange(len(whole)), draw.randrange(near), len(whole) - 1])
        path.write_bytes(whole[:size])
        return f"{path.name} cut to {size}"
    where = [draw.randrange(min(near, len(whole))) for _ in range(draw.choice([1, 1, 2, 8]))]
    for place in where:
        whole[place] = draw.choice([0, 255, 34, 123, draw.randrange(256)])
    path.write_bytes(whole)
    return f"{path.name} overwritten at {where}"


def _header(folder: Path, draw: random.Random) -> str:
    """Another value in the header of the weights, whose length stays right."""
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = folder / "header.json"
    header.write_bytes(whole[8 : 8 + size])
    done = _json(header, draw)
    fresh = header.read_bytes()
    header.unlink()
    path.write_bytes(len(fresh).to_bytes(8, "little") + fresh + whole[8 + size :])
    return f"{path.name} {done}"
