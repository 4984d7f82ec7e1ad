"""Text that is safe to print: a file's name may hold anything that its file system takes."""


def printable(text: str) -> str:
    r"""One line of text, with an escape in place of every character that acts instead of showing.

    Those are line breaks, escape sequences of terminals, direction marks, and bytes that are no text.

    >>> print(printable("notes\x1b[2J\n\udcff.txt"))
    notes\x1b[2J\n\udcff.txt
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
