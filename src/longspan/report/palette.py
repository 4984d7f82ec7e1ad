"""The colors of page and figures, by the names they have in CSS, on light and on dark paper."""

LIGHT = {
    "paper": "#fbfbf9",
    "card": "#ffffff",
    "ink": "#1c1d20",
    "muted": "#62666f",
    "line": "#dfe0e3",
    "accent": "#1769d2",
    "second": "#b04f0a",
    "third": "#0c7a60",
    "fourth": "#7a4fc4",
    "good": "#0b6b4a",
    "bad": "#b3261e",
}
DARK = {
    "paper": "#131417",
    "card": "#1b1d21",
    "ink": "#e9eaec",
    "muted": "#989ca6",
    "line": "#33363d",
    "accent": "#6aa9ff",
    "second": "#f0985a",
    "third": "#4fcfae",
    "fourth": "#b794f6",
    "good": "#57d1a5",
    "bad": "#ff8a80",
}
SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif'
COLUMN = 620
"""Pixels."""


def css() -> str:
    """Return the colors as CSS variables, which follow the reader's choice of light or dark."""
    light, dark = (" ".join(f"--{name}: {color};" for name, color in colors.items()) for colors in (LIGHT, DARK))
    return f":root {{ --sans: {SANS}; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def standalone(svg: str) -> str:
    """Return a figure of the page as a file of its own, with the page's colors in it, and no wider than a column."""
    head, rest = svg.split(">", 1)
    return f'{head} width="{COLUMN}"><style>{css()}</style>{rest}\n'
