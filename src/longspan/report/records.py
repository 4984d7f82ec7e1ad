"""The records of a folder, read while anybody may be writing them; nothing is locked, removed or mended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longspan.grid.folder import RESULTS


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records that have a result; a folder without a file of records has none, and a cut line is left out."""
    try:
        lines = (folder / RESULTS).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("result"), dict):
            yield record
