"""What RULER's needle prompts ask for, read from their text alone."""

import re

NEEDLE = r"One of the special magic (?:numbers|uuids) for (\S+) is: (\S+)\."


def asked_values(text: str) -> set[str]:
    """The values of the keys that the question names."""
    query = re.findall(r"special magic (?:numbers?|uuids?) for (.+?) mentioned in", text)[-1]
    keys = set(query.replace(", and ", ", ").split(", "))
    return {value for key, value in re.findall(NEEDLE, text) if key in keys}
