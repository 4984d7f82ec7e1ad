r"""Unpack six novels by Jane Austen from the Debian package r-cran-janeaustenr: `austen.py PACKAGE.deb FOLDER`.

The package holds one R object per novel, a vector of lines. They can be read without R:

    Rdata.rdb        for each object, 4 bytes that hold its size, and a zlib stream of its serialization
    serialization    "X\n", 3 numbers, the name of the native encoding with its length, then a vector of strings
    a vector         its type, how many strings it has, and the strings
    a string         a number whose last byte is 9, the length in bytes (−1: missing), the bytes

All numbers have 32 bits, the most significant byte first. The novels are in the public domain (Project Gutenberg); the
package is under the MIT license.

Source: R Core Team, "R Internals", section 1.8 (serialization formats).
"""

import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from

DATA = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
NAMES = ("emma", "mansfield-park", "northanger-abbey", "persuasion", "pride-and-prejudice", "sense-and-sensibility")
"""In the order of the package's objects, which is that of their names."""
STRINGS, STRING = 16, 9
"""The type of a vector of strings, and that of a string."""


def novels(package: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each novel."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
        content = (Path(folder) / DATA).read_bytes()
    for name, lines in zip(NAMES, map(strings, objects(content)), strict=True):
        yield name, "\n".join(lines) + "\n"


def objects(content: bytes) -> Iterator[bytes]:
    """The serialized objects of a file.

    Errors: ValueError where an object has not the size that the file says.
    """
    while content:
        stream = zlib.decompressobj()
        found = stream.decompress(content[4:])
        (size,) = unpack_from(">i", content)
        if len(found) != size:
            raise ValueError(f"an object has {len(found)} bytes, the file says {size}: fetch the package again")
        yield found
        content = stream.unused_data


def strings(serialized: bytes) -> list[str]:
    """The strings of a serialized vector.

    Errors: ValueError where the object is something else, or a string is missing.
    """
    at = 2 + 4 * 3
    at += 4 + unpack_from(">i", serialized, at)[0]
    kind, count = unpack_from(">ii", serialized, at)
    if serialized[:2] != b"X\n" or kind & 255 != STRINGS:
        raise ValueError(f"expected a vector of strings (type {STRINGS}), got an object of type {kind & 255}")
    found, at = [], at + 8
    for _ in range(count):
        kind, length = unpack_from(">ii", serialized, at)
        if kind & 255 != STRING or length < 0:
            raise ValueError(f"expected a string (type {STRING}) at byte {at}, got type {kind & 255}, length {length}")
        found.append(serialized[at + 8 : at + 8 + length].decode())
        at += 8 + length
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in novels(Path(sys.argv[1])):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{folder / name}.txt: {len(text.split())} words")
