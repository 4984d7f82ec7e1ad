"""Texts as token ids on disk: one file of numbers that is read where it is needed, and where each document begins.

tokens.bin        ids of all documents, one after the other, in the smallest unsigned type that holds the vocabulary
texts.json        where each document ends, from which file it is, and what the ids were made with
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from longspan.disk import replaced_folder
from longspan.errors import InputError
from longspan.measure.corpus.texts import NoTextError, contents, files_in
from longspan.train.data.segmentation import SampledTokenizer, Sampling

WINDOW = 32
"""Tokens that two texts must share in a row to count as overlapping."""


@dataclass(frozen=True)
class Texts:
    """Documents as token ids.

    Arguments:
        tokens: all ids, mapped from disk.
        ends: where each document ends.
        names: the files that they come from.
    """

    tokens: np.ndarray
    ends: np.ndarray
    names: tuple[str, ...]

    @property
    def starts(self) -> np.ndarray:
        """Where each document begins."""
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document."""
        return self.ends - self.starts


def prepared(
    paths: Sequence[str], tokenizer: Any, folder: Path, sampling: Sampling | None = None, *, begun: bool = False
) -> Texts:
    """Return the documents of some files and folders; ids that a folder holds already are not made again.

    Arguments:
        sampling: how segmentations are sampled; None for the tokenizer's own.
        begun: whether a training has read the ids in the folder, so that it must not go on with others.

    Errors: InputError for a path that does not exist, a file that holds no text, one that needs a missing package,
    texts without a token, and other texts or another tokenizer than those that a training has begun with.
    """
    files = _files(paths)
    identity = {"files": [[str(path), _digest(path)] for path in files], "tokenizer": _identity(tokenizer)}
    if sampling is not None:
        identity |= asdict(sampling)
    known = _read(folder, identity)
    if known is not None:
        return known
    if begun:
        _refuse_changed(folder, identity)
    kind = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    ends, names, count = [], [], 0
    with replaced_folder(folder) as fresh:
        with (fresh / "tokens.bin").open("wb") as file:
            for path, found in _token_ids(files, tokenizer, sampling):
                if len(ids := np.array(found, dtype=kind)):
                    file.write(ids.tobytes())
                    count += len(ids)
                    ends.append(count)
                    names.append(str(path))
        if not count:
            raise InputError(f"{', '.join(paths)}: no text in them; give files or folders with text")
        head = {"identity": identity, "ends": ends, "names": names, "dtype": np.dtype(kind).name}
        (fresh / "texts.json").write_text(json.dumps(head) + "\n", encoding="utf-8")
    made = _read(folder, identity)
    assert made is not None
    return made


def _refuse_changed(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse texts that are not those that a folder's ids were made of; files may lie elsewhere."""
    before = _head(folder)
    if before is None:
        return
    made = before["identity"]
    if made["tokenizer"] != identity["tokenizer"]:
        raise InputError("data.tokenizer has changed since this run began: put it back, or give another --out")
    if [digest for _, digest in made["files"]] != [digest for _, digest in identity["files"]]:
        old, new = ({digest: path for path, digest in each["files"]} for each in (made, identity))
        other = [path for digest, path in (new | old).items() if (digest in old) != (digest in new)]
        raise InputError(
            f"the training texts have changed since this run began ({other[0] if other else 'their order'}): put them "
            "back, or give another --out"
        )


def overlap(texts: Texts, others: Texts) -> float:
    """Return the share of `others` that is in `texts` too, counted in runs of `WINDOW` tokens."""
    if len(others.tokens) < WINDOW or len(texts.tokens) < WINDOW:
        return 0.0
    wanted = _hashes(others.tokens)[::WINDOW]
    return float(np.isin(wanted, _hashes(texts.tokens)).mean())


def _hashes(tokens: np.ndarray) -> np.ndarray:
    """A number for each run of `WINDOW` tokens; equal runs have equal numbers."""
    factor = np.uint64(0x9E3779B97F4A7C15)
    found = np.zeros(len(tokens) - WINDOW + 1, dtype=np.uint64)
    for offset in range(WINDOW):
        found = found * factor + tokens[offset : offset + len(found)].astype(np.uint64) + np.uint64(1)
    return found


def _files(paths: Iterable[str]) -> list[Path]:
    """All files, each once."""
    found: list[Path] = []
    for given in map(Path, paths):
        if not given.exists():
            raise InputError(f"no file or folder {str(given)!r}: give texts that exist")
        found += files_in(given)
    return [path.resolve() for path in dict.fromkeys(found)]


def _documents(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The texts of files, as `longspan measure` and `extend` read them."""
    for path in files:
        try:
            for text in contents(path):
                yield path, text
        except NoTextError as error:
            raise InputError(f"{path} {error}; or leave the file out") from None


def _token_ids(files: Sequence[Path], tokenizer: Any, sampling: Sampling | None) -> Iterator[tuple[Path, list[int]]]:
    """The token ids of every document, once or in several samples."""
    if sampling is None:
        for path, text in _documents(files):
            yield path, tokenizer(text, add_special_tokens=False)["input_ids"]
        return
    sampled = SampledTokenizer(tokenizer, sampling.alpha)
    for copy in range(sampling.copies):
        for number, (path, text) in enumerate(_documents(files)):
            yield path, sampled.sample(text, Random(f"{copy}/{number}"))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identity(tokenizer: Any) -> str:
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def _head(folder: Path) -> dict[str, Any] | None:
    """What a folder says of its ids; None where it holds none."""
    try:
        return json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read(folder: Path, identity: dict[str, Any]) -> Texts | None:
    head = _head(folder)
    if head is None or head["identity"] != identity:
        return None
    tokens = np.memmap(folder / "tokens.bin", dtype=head["dtype"], mode="r")
    return Texts(tokens, np.array(head["ends"]), tuple(head["names"]))
