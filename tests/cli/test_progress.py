"""Progress: a bar that keeps its time left in narrow terminals, and a line every half minute where there is none."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from time import sleep

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from longspan.cli.progress import LONGEST_NAME, Stand, bar, brief, every, lines
from longspan.cli.terminal import PERIOD, Ticker, is_live


class Hours:
    """A clock, measurements that each take some of its seconds, and what happens again and again meanwhile."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self.seconds, self.now = seconds, 0.0
        self.act: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def __iter__(self) -> Iterator[None]:
        for taken in self.seconds:
            until = self.now + taken
            while (tick := (self.now // PERIOD + 1) * PERIOD) <= until:
                self.now = tick
                self.act()
            self.now = until
            yield

    @contextmanager
    def every(self, seconds: float, act: Callable[[], None]) -> Iterator[None]:
        assert seconds == PERIOD
        self.act = act
        yield
        self.act = lambda: None


def told(
    capsys: pytest.CaptureFixture[str],
    seconds: Sequence[float],
    expected: Sequence[float] | None = None,
    *,
    timed: bool = True,
) -> list[str]:
    """The lines of a stage whose measurements take so long."""
    capsys.readouterr()
    hours = Hours(seconds)
    names = [f"yarn · reading {number}" for number in range(len(seconds))]
    lines(Stand("race", names, list(expected or seconds), timed=timed, clock=hours), hours, hours.every)
    return capsys.readouterr().err.splitlines()


def test_a_long_measurement_has_a_line_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, [75, 50]) == [
        "race: 2 measurements, about 0:02:05; first yarn · reading 0",
        "race: 0 of 2 done, 0:01:35 left; now yarn · reading 0",
        "race: 0 of 2 done, 0:01:05 left; now yarn · reading 0",
        "race: 1 of 2 done, 0:00:35 left; now yarn · reading 1",
        "race: 1 of 2 done, 0:00:05 left; now yarn · reading 1",
        "race: 2 of 2 done in 0:02:05",
    ]


def test_the_time_left_follows_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Twice as slow as expected: what is left takes twice as long as well."""
    assert told(capsys, [64, 64], [32, 32])[1:-1] == [
        "race: 0 of 2 done, 0:00:34 left; now yarn · reading 0",
        "race: 0 of 2 done, 0:00:04 left; now yarn · reading 0",
        "race: 1 of 2 done, 0:00:38 left; now yarn · reading 1",
        "race: 1 of 2 done, 0:00:08 left; now yarn · reading 1",
    ]


def test_a_measurement_that_takes_longer_than_all_were_expected_to_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, [100], [10])[1:-1] == [
        "race: 0 of 1 done, 0:00:30 so far, longer than expected; now yarn · reading 0",
        "race: 0 of 1 done, 0:01:00 so far, longer than expected; now yarn · reading 0",
        "race: 0 of 1 done, 0:01:30 so far, longer than expected; now yarn · reading 0",
    ]


@given(st.text(max_size=300))
def test_a_line_shows_both_ends_of_a_long_name(name: str) -> None:
    """The first says which method it is, the last what is measured."""
    shown = brief(name)
    assert len(shown) <= LONGEST_NAME
    first, _, last = shown.partition(" … ")
    assert shown == name or (name.startswith(first) and name.endswith(last) and len(last) >= 20)


def test_short_measurements_do_not_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, [7] * 10)
    assert len(found) == 4
    assert found[1].startswith("race: 4 of 10 done, 0:00:40 left")


def test_before_anything_was_timed_no_time_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, [50, 2], timed=False) == [
        "race: 2 measurements; first yarn · reading 0",
        "race: 0 of 2 done, 0:00:30 so far; now yarn · reading 0",
        "race: 2 of 2 done in 0:00:52",
    ]


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=20), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_waits_longer_than_half_a_minute_and_no_line_comes_twice(
    capsys: pytest.CaptureFixture[str], both: list[tuple[int, int]], timed: bool
) -> None:
    seconds, expected = zip(*both, strict=True)
    found = told(capsys, seconds, expected, timed=timed)
    assert len(set(found)) == len(found)
    assert abs(len(found) - 2 - sum(seconds) / PERIOD) <= 1
    assert all(line.isprintable() for line in found)
    assert all("left" in line or "so far" in line for line in found[1:-1])


def test_every_acts_until_the_context_ends_whatever_ends_it() -> None:
    acted: list[int] = []

    def interrupted() -> None:
        with every(0.01, lambda: acted.append(1)):
            while len(acted) < 3:
                sleep(0.005)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    count = len(acted)
    sleep(0.05)
    assert len(acted) == count


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


LONG = "leaky_rerope(window=2048, k=7.0) + log_length(trained_length=8192) · [bold]reading[/bold] of notes.txt [32768:]"


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("stage", ["race", "judgement"])
@pytest.mark.parametrize("timed", [True, False])
def test_bar_and_time_left_stay_in_a_narrow_terminal(width: int, stage: str, timed: bool) -> None:
    screen = StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    bar(Stand(stage, [LONG] * 3, [7200.0] * 3, timed=timed, clock=Hours([])), [None] * 3, console)
    pieces = [piece.rstrip() for piece in re.split(r"[\r\n]|\x1b\[[0-9;?]*[a-zA-Z]", screen.getvalue())]
    rows = [piece for piece in pieces if piece]
    assert all(stage in row for row in rows)  # nothing goes on in a second line
    assert len(rows) >= 2
    for row in rows:
        assert len(row) <= width
        assert "left" in row
        assert "%" in row
    assert "━" * 6 in rows[-1]
    assert rows[0].partition("%")[0].rindex(" ") > len(stage) + 6  # the empty bar
    assert "leaky" in rows[0]
    if timed:
        assert "6:00:00 left" in rows[0]


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


def test_without_a_terminal_messages_are_half_a_minute_apart(capsys: pytest.CaptureFixture[str]) -> None:
    hours = Hours([25.0] * 6)
    ticker = Ticker(hours)
    for number, _ in enumerate(hours):
        ticker(f"round {number}")
    ticker.clear()
    assert capsys.readouterr().err.splitlines() == ["round 0", "round 2", "round 4"]
