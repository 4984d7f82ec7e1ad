from math import pi

import pytest

from longspan.geometry import Geometry
from longspan.measure.models.method import filled
from longspan.notation import parts
from longspan.pretrained.attach import attached
from longspan.study.candidates import candidates, named, recipes
from tiny import llama


@pytest.mark.parametrize(("trained", "wanted"), [(128, 1024), (512, 4096), (8192, 16384), (8192, 12000)])
def test_all_candidates_are_schemes_with_nothing_left_open(trained: int, wanted: int) -> None:
    found = candidates(Geometry(4, 4, 64, trained), wanted)
    assert 10 <= len(found) == len(set(found))
    for text in found:
        for part in parts(text):
            assert part.fill(Geometry(4, 4, 64, 2 * trained), 3 * wanted) == part
            assert not part.changes_nothing(wanted)


@pytest.mark.parametrize(("trained", "wanted"), [(128, 128), (512, 384), (8192, 4096), (8192, 8192)])
def test_within_the_trained_length_every_candidate_changes_something(trained: int, wanted: int) -> None:
    found = candidates(Geometry(4, 4, 64, trained), wanted)
    assert {"string", "rerope"} <= {part.name for text in found for part in parts(text)}
    for text in found:
        assert not all(part.changes_nothing(wanted) for part in parts(text))
    assert recipes(Geometry(4, 4, 64, trained), wanted) == {}


def test_recipes_keep_their_names() -> None:
    found = recipes(Geometry(4, 4, 64, 512), 4096)
    assert sorted(found.values()) == ["lm_infinite(window=256)", "streaming_llm"]
    assert set(found) <= set(candidates(Geometry(4, 4, 64, 512), 4096))


def test_given_names_stand_beside_what_they_mean() -> None:
    geometry = Geometry(4, 4, 64, 512)
    found = named(("streaming_llm", "rerope", "rerope(window=128)"), geometry, 4096)
    assert list(found.values()) == ["streaming_llm", "rerope"]
    assert list(found)[1] == "rerope(window=128)"


def test_windows_lie_between_a_quarter_and_half_of_the_trained_length() -> None:
    for text in candidates(Geometry(4, 4, 64, 512), 4096):
        for part in parts(text):
            if part.name in ("rerope", "leaky_rerope", "self_extend"):
                assert 128 <= part.window <= 256  # type: ignore[attr-defined]


@pytest.mark.parametrize("trained", [64, 128, 512, 8192])
def test_yarn_leaves_the_fastest_pairs_alone_however_short_the_training(trained: int) -> None:
    texts = candidates(Geometry(4, 4, 64, trained), 8 * trained)
    (yarn,) = [part for text in texts for part in parts(text) if part.name == "yarn"]
    assert yarn.thresholds[0] < trained / (2 * pi)  # type: ignore[attr-defined]
    assert yarn.frequencies(64)[0] == 1  # type: ignore[attr-defined]


def test_every_candidate_goes_onto_a_model() -> None:
    model = llama(60)
    for text in candidates(Geometry(2, 1, 16, 64), 512):
        with attached(model, text, length=512):
            pass


def test_what_the_model_brings_stays_unsaid() -> None:
    geometry = Geometry(4, 4, 64, 512, theta=50000.0)
    assert filled("log_length", geometry, 4096) == "log_length(trained_length=512)"
    assert filled("window(sinks=4)", geometry, 4096) == "window(size=512, sinks=4)"
