"""The verdict in words: what was asked, and what is nearer to the answers."""

import pytest

from longspan.audit.blackbox.verdict import Considered, Verdict


def verdict(*ranking: tuple[str, bool]) -> Verdict:
    considered = tuple(Considered(name, 0.1 * place, out, 0.0) for place, (name, out) in enumerate(ranking))
    return Verdict("yarn", considered, True, 0.1, 0.0, 0.0, 96, (80, 160), trained_length=64)


@pytest.mark.parametrize(
    ("ranking", "first"),
    [
        (
            (("yarn", False), ("plain", True)),
            "The server does what was asked: yarn. It is ahead of the next by 0.1 nats",
        ),
        (
            (("plain", False), ("yarn", True)),
            "The server does not do what was asked (yarn). It does: plain. It is ahead",
        ),
        (
            (("plain", False), ("yarn", False)),
            "The server may do what was asked (yarn). Its answers are nearer to: plain.",
        ),
    ],
)
def test_what_was_asked_is_said_to_be_done_only_where_it_is_the_nearest(ranking: tuple, first: str) -> None:
    said = verdict(*ranking).sentences()
    assert said[0].startswith(first)
    assert ("cannot tell it apart from: plain." in " ".join(said)) == (len(verdict(*ranking).alike) == 2)
