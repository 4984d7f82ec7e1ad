"""The dtype to measure in: what was asked for, what a resumed folder has, or what proves faster on a document."""

from collections.abc import Sequence
from pathlib import Path

from longspan.grid.folder import identity_of
from longspan.measure.corpus.documents import library, tokenize
from longspan.measure.hardware.device import AUTO
from longspan.measure.models.loading import load_tokenizer
from longspan.measure.models.source import faster_dtype

TRIAL = 64
"""Tokens that the first document must have for dtypes to be tried on it."""


def chosen_dtype(asked: str, folder: Path, model: str, paths: Sequence[Path], device: str = AUTO) -> str:
    """Return one of `longspan.measure.models.source.DTYPES`.

    Arguments:
        asked: "auto" or the dtype itself.
        folder: of the results.
        paths: of the documents.
        device: where dtypes are tried, as `device_named` takes it.

    Errors: InputError for a folder or a document that cannot be read; RefusalError for a model that cannot be used.
    """
    resumed = (identity_of(folder) or {}).get("dtype")
    if asked != "auto":
        return asked
    if resumed:
        return resumed
    tokenizer = load_tokenizer(model)
    found = library(paths, tokenizer, TRIAL, 1).documents
    return faster_dtype(model, tokenize(found[0].path, tokenizer), device) if found else "float32"
