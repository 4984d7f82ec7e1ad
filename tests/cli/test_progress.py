"""Progress where there is no terminal."""

from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from io import StringIO
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longspan.cli.progress import _bar, _lines
from longspan.cli.terminal import PERIOD, Ticker, is_live


class Hours:
    """A clock, and measurements that each take some of its seconds."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        return self.now

    def __iter__(self) -> Iterator[None]:
        for taken in self.seconds:
            self.now += taken
            yield


def told(capsys: pytest.CaptureFixture[str], seconds: Sequence[float], *, timed: bool = True) -> list[str]:
    """The lines of a stage whose measurements take so long."""
    capsys.readouterr()
    hours = Hours(seconds)
    names = [f"yarn · reading {number}" for number in range(len(seconds))]
    _lines("race", names, list(seconds), hours, timed=timed, clock=hours)
    return capsys.readouterr().err.splitlines()


def test_long_measurements_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, [600, 1200, 1200]) == [
        "race: 3 measurements, about 0:50:00; first yarn · reading 0",
        "race: 1 of 3 done, 0:40:00 left; next yarn · reading 1",
        "race: 2 of 3 done, 0:20:00 left; next yarn · reading 2",
        "race: 3 of 3 done in 0:50:00",
    ]


def test_short_ones_have_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, [6] * 31)
    assert lines[1:-1] == [
        "race: 10 of 31 done, 0:02:06 left; next yarn · reading 10",
        "race: 20 of 31 done, 0:01:06 left; next yarn · reading 20",
        "race: 30 of 31 done, 0:00:06 left; next yarn · reading 30",
    ]


def test_before_anything_was_timed_no_time_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, [1, 2], timed=False) == [
        "race: 2 measurements; first yarn · reading 0",
        "race: 2 of 2 done in 0:00:03",
    ]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_waits_longer_than_a_measurement_and_a_minute(
    capsys: pytest.CaptureFixture[str], seconds: list[int]
) -> None:
    """Between two lines lie less than a minute and one measurement; there are no more lines than either allows."""
    lines = told(capsys, seconds)
    done = [0, *(int(line.split()[1]) for line in lines[1:])]
    assert done[-1] == len(seconds)
    assert len(lines) <= 2 + min(len(seconds) - 1, sum(seconds) // PERIOD)
    for before, after in pairwise(done):
        assert sum(seconds[before : after - 1]) < PERIOD
        assert len(lines) <= 3 or after == len(seconds) or sum(seconds[before:after]) >= PERIOD


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_and_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with redirect_stderr(Terminal()) as screen:
        assert is_live()
        _bar("race", ["[bold]first[/bold]", "second"], [1.0, 1.0], [None, None])
    assert "100%" in screen.getvalue()
    assert "[bold]first[/bold]" in screen.getvalue()


def test_a_dumb_terminal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stderr(Terminal()):
        assert not is_live()


def test_a_message_replaces_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ticker = Ticker()
    with redirect_stderr(Terminal()) as screen:
        ticker("round 1")
        ticker("round 2")
        ticker.clear()
    assert screen.getvalue() == "\r\x1b[Kround 1\r\x1b[Kround 2\r\x1b[K"


def test_without_a_terminal_messages_are_a_minute_apart(capsys: pytest.CaptureFixture[str]) -> None:
    hours = Hours([25.0] * 6)
    ticker = Ticker(hours)
    for number, _ in enumerate(hours):
        ticker(f"round {number}")
    ticker.clear()
    assert capsys.readouterr().err.splitlines() == ["round 0", "round 3"]
