"""Text that is safe to print: a file's name may hold anything that its file system takes."""


def printable(text: str) -> str:
    r"""Return one line of text, with an escape for every character that acts instead of showing.

    These are line breaks, escape sequences of terminals, direction marks, and bytes that are not text.

    >>> print(printable("notes\x1b[2J\n\udcff.txt"))
    notes\x1b[2J\n\udcff.txt
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
