"""Write texts that repeat: `repeating.py FOLDER OUT`, for su.toml.

Nothing in six novels makes a small model look back further than some words, so that Su's accuracy on a text that
repeats would say nothing. Each document says one passage of the novels, 3 to 60 words long, again and again.
Persuasion, which tests are made of, is left out.
"""

import json
import sys
from pathlib import Path
from random import Random

DOCUMENTS, WORDS = 4000, 250
SHORTEST, LONGEST = 3, 60


def repeating(words: list[str], generator: Random) -> str:
    """One passage of the words, again and again."""
    length = generator.randint(SHORTEST, LONGEST)
    start = generator.randrange(len(words) - length)
    passage = words[start : start + length]
    return " ".join((passage * (WORDS // length + 1))[:WORDS])


def main(novels: Path, out: Path) -> None:
    """Write the documents, one a line."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(novels.glob("*.txt")) if path.stem != "persuasion"]
    words, generator = " ".join(texts).split(), Random(0)
    out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": repeating(words, generator)}) + "\n" for _ in range(DOCUMENTS)]
    (out / "repeating.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
