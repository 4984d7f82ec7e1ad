"""What `longspan audit MODEL --server URL` prints."""

import json
from pathlib import Path

from longspan.errors import InputError

ROWS = 8
"""Hypotheses in the table."""


def run(
    model: str,
    server: str | None,
    runs_as: str | None,
    served_name: str | None,
    expect: str,
    to: int | None,
    lengths: list[int],
    text: list[Path],
    device: str,
    as_json: bool,
) -> bool:
    """Audit a server and print the result; return whether it does what it was asked to do."""
    from longspan.audit.blackbox.audit import audit_server
    from longspan.cli.terminal import Ticker, answer

    if to is not None and to < 2:
        raise InputError(f"--to must be at least 2 tokens, got {to}")
    progress = Ticker()
    try:
        verdict = audit_server(
            model,
            server=server,
            runs_as=runs_as,
            served_name=served_name,
            expect=expect,
            to=to,
            lengths=lengths,
            texts=text,
            device=device,
            progress=progress,
        )
    finally:
        progress.clear()
    if as_json:
        answer(json.dumps(verdict.as_json(), indent=2))
        return verdict.as_asked
    answer("\n".join(verdict.sentences()))
    answer("")
    for each in verdict.considered[:ROWS]:
        said = "" if each.ruled_out else "   not ruled out"
        answer(f"{each.behind:9.3f} nats per token behind   {each.off:7.4f} nats off   {each.name}{said}")
    if len(verdict.considered) > ROWS:
        answer(f"          {len(verdict.considered) - ROWS} more hypotheses are farther behind; --json lists them")
    for line in verdict.refused:
        answer(f"not tried: {line}")
    return verdict.as_asked
