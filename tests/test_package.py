"""hatch_build.py: what a package index shows of longspan, built from clones with and without a public address."""

import shutil
import subprocess
import sys
import tarfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDRESS = "https://host.example/group/longspan"
NEEDED = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "src/longspan/__init__.py")
"""What the metadata is made from."""


def clone(folder: Path, remote: str | None) -> Path:
    """Make a small clone with one remote."""
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    if remote is not None:
        subprocess.run(["git", "-C", folder, "remote", "add", "origin", remote], check=True)
    return folder


def build(target: str, folder: Path) -> Path:
    """Let the build backend make one distribution of a folder."""
    made = folder.with_name(f"{folder.name}-{target}")
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(made)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return next(made.iterdir())


def metadata(wheel: Path) -> Message:
    """Read what an index shows."""
    shutil.unpack_archive(wheel, wheel.parent, "zip")
    (found,) = wheel.parent.glob("*.dist-info/METADATA")
    return message_from_string(found.read_text(encoding="utf-8"))


def readme(shown: Message) -> str:
    """The page of the package."""
    page = shown.get_payload()
    assert isinstance(page, str)
    return page


@pytest.mark.parametrize(
    "remote",
    [
        f"{ADDRESS}.git",
        f"{ADDRESS}/",
        "https://somebody:secret@host.example/group/longspan.git",
        "git@host.example:group/longspan.git",
        "ssh://git@host.example:2222/group/longspan.git",
    ],
)
def test_links_of_the_index_page_lead_to_the_origin(tmp_path: Path, remote: str) -> None:
    shown = metadata(build("wheel", clone(tmp_path / "clone", remote)))
    assert f"Repository, {ADDRESS}" in shown.get_all("Project-URL", [])
    assert f"]({ADDRESS}/blob/HEAD/docs/methods.md)" in readme(shown)
    assert f"]({ADDRESS}/raw/HEAD/docs/figures/" in readme(shown)
    assert "](docs/" not in readme(shown)
    assert "secret" not in str(shown)


@pytest.mark.parametrize("remote", [None, "../longspan", "/srv/git/longspan.git", "file:///srv/git/longspan.git"])
def test_a_clone_of_a_folder_names_no_address(tmp_path: Path, remote: str | None) -> None:
    shown = metadata(build("wheel", clone(tmp_path / "clone", remote)))
    assert shown.get_all("Project-URL") is None
    assert readme(shown) == (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_wheel_made_from_a_source_distribution_keeps_the_address(tmp_path: Path) -> None:
    source = build("sdist", clone(tmp_path / "clone", f"{ADDRESS}.git"))
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    shown = metadata(build("wheel", unpacked))
    assert f"Issues, {ADDRESS}/issues" in shown.get_all("Project-URL", [])
    assert f"]({ADDRESS}/blob/HEAD/docs/methods.md)" in readme(shown)


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from hatch_build import LINK
    finally:
        sys.path.remove(str(ROOT))
    paths = {link["path"].partition("#")[0] for link in LINK.finditer((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path
