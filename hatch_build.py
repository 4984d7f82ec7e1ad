"""The package's page on an index: addresses, and a README whose links lead to the repository.

The address is that of the git remote `origin`, so that a fork's package leads to the fork. Without one (a clone of a
folder, no git) the package names no address and the README's links stay relative. A wheel that is built from a source
distribution takes both from there.
"""

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?!\w+:|#)[^)\s]+)\)")
"""A Markdown link to a file of the repository: no scheme, no anchor of the same page."""


def web_address(remote: str) -> str | None:
    """Return where a browser finds a git remote, without user and password; None for a path or an unknown form."""
    named = re.fullmatch(r"(?:\w+@)?(?P<host>[\w.-]+\.\w+):(?P<path>[^/].*)", remote)
    host, path = (named["host"], named["path"]) if named else (urlsplit(remote).hostname, urlsplit(remote).path)
    if not host or urlsplit(remote).scheme == "file":
        return None
    return f"https://{host}/{path.strip('/').removesuffix('.git')}"


def absolute(text: str, address: str) -> str:
    """Return Markdown whose links to files of the repository are complete: pages to read, pictures as they are."""

    def complete(link: re.Match[str]) -> str:
        shown = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({address}/{shown}/HEAD/{link['path']})"

    return LINK.sub(complete, text)


def origin(folder: Path) -> str | None:
    """Return the web address of a clone's `origin`, if it has one."""
    # A folder inside of another project's clone is no clone of longspan.
    if not (folder / ".git").exists():
        return None
    asked = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return web_address(answer.stdout.strip()) if answer.returncode == 0 else None


class Addresses(MetadataHookInterface):
    """Fills `readme` and `urls` of `pyproject.toml`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add what this clone knows of its address."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        address = origin(root)
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute(text, address) if address else text,
        }
        metadata["urls"] = (
            {}
            if address is None
            else {
                "Repository": address,
                "Documentation": f"{address}/tree/HEAD/docs",
                "Changelog": f"{address}/blob/HEAD/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
        )
