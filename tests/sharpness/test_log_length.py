"""Outside sources: the articles' numbers (kexue.fm/archives/8823, 9708, 9859) and exact logarithms of powers of two."""

from math import log

import pytest
import torch
from torch.nn.functional import normalize

from longspan import attend, parse
from longspan.errors import SchemeError
from longspan.notation import format_scheme
from longspan.scale.learned import Learned
from longspan.scheme import Scheme
from longspan.sharpness.log_length import LogLength


def factor(part: LogLength, visible: int) -> float:
    return float(part(torch.tensor([[[visible]]]), {}))


@pytest.mark.parametrize("form", ["inference", "training"])
@pytest.mark.parametrize(
    ("trained_length", "visible", "wanted"), [(512, 512, 1), (2048, 16384, 14 / 11), (4096, 32768, 15 / 12)]
)
def test_factor_beyond_the_trained_length(form: str, trained_length: int, visible: int, wanted: float) -> None:
    assert factor(LogLength(trained_length, form), visible) == pytest.approx(wanted, rel=1e-15)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trained_length", "visible", "wanted"),
    [(4096, 4096, 1), (4096, 100, 1), (4096, 32768, (1 + 0.15 * log(2)) ** 2), (2048, 16384, (1 + 0.15 * log(2)) ** 2)],
)
def test_gain_is_that_of_the_released_code_on_query_and_key(trained_length: int, visible: int, wanted: float) -> None:
    """0.05 ln 8 + 1 = 1.10397 on each, 1.21875 on the score."""
    assert factor(LogLength(trained_length, "gain"), visible) == pytest.approx(wanted, rel=1e-15)


def test_forms_differ_within_the_trained_length() -> None:
    assert factor(LogLength(512, "training"), 64) == pytest.approx(6 / 9, rel=1e-15)
    assert factor(LogLength(512, "training"), 1) == 0
    assert factor(LogLength(512, "inference"), 64) == 1


def test_the_shortest_trained_length() -> None:
    assert factor(LogLength(2), 8) == pytest.approx(3, rel=1e-15)


@pytest.mark.parametrize(("form", "wanted"), [("inference", 1), ("training", 0), ("gain", 1)])
def test_a_query_that_sees_nothing_has_a_finite_factor(form: str, wanted: int) -> None:
    """Padding: ln 0 would spread as NaN from there."""
    assert factor(LogLength(512, form), 0) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "log_length(trained_length=4096)",
        "log_length(trained_length=4096, form='training')",
        "rerope(window=1024) + log_length(trained_length=4096)",
        "rope + constant(value=0.5) + log_length(trained_length=8)",
        "cosine(multiplier=4.0, length=256) + learned(initial=2.0) + log_length(trained_length=8)",
    ],
)
def test_texts_of_saved_checkpoints_keep_their_meaning(text: str) -> None:
    """As written by earlier versions, in which it wrapped the scale that it multiplies."""
    scheme = parse(text)
    assert isinstance(scheme.sharpness, LogLength)
    assert Scheme.of(*(part for part in scheme.parts() if part.slot != "sharpness")).scale == scheme.scale
    assert parse(format_scheme(scheme)) == scheme


def test_learned_numbers_of_the_scale_keep_their_names() -> None:
    weights = parse("cosine + learned(2) + log_length(5)").initial_weights(3, 8)
    assert list(weights) == ["scale.factor"]
    assert weights["scale.factor"].tolist() == [2, 2, 2]
    assert parse("learned(2) + log_length(5)").scale == Learned(2.0)


@pytest.mark.parametrize("backend", ["tiles", "blocks"])
def test_multiplies_on_top_of_a_learned_scale(backend: str) -> None:
    query, key, value = torch.randn(3, 2, 4, 12, 8, dtype=torch.float64)
    weights = {"scale.factor": torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)}
    rows = torch.tensor([factor(LogLength(5), row + 1) for row in range(12)], dtype=torch.float64)[:, None]
    grown = query * rows * weights["scale.factor"][:, None, None]
    found = attend(query, key, value, "rope + learned(1) + log_length(5)", weights=weights, backend=backend)
    torch.testing.assert_close(found, attend(grown, key, value, "rope + unscaled"))


def test_neutral_within_the_trained_length() -> None:
    assert LogLength(10).changes_nothing(10)
    assert not LogLength(10).changes_nothing(11)
    assert not LogLength(10, "training").changes_nothing(10)
    assert LogLength(10, "gain").changes_nothing(10)
    assert not LogLength(10, "gain").changes_nothing(11)
    assert not LogLength().changes_nothing(1)


@pytest.mark.parametrize("form", ["inference", "gain"])
def test_is_the_identity_bit_for_bit_within_the_trained_length(form: str) -> None:
    query, key, value = torch.randn(3, 2, 4, 12, 8)
    scaled, plain = (attend(query, key, value, text) for text in (f"rope + log_length(10, {form})", "rope"))
    assert torch.equal(scaled[:, :, :10], plain[:, :, :10])
    assert not torch.equal(scaled[:, :, 10:], plain[:, :, 10:])


@pytest.mark.parametrize("form", ["inference", "training", "gain"])
def test_is_a_factor_on_the_query(form: str) -> None:
    query, key, value = torch.randn(3, 2, 4, 12, 8, dtype=torch.float64)
    rows = torch.tensor([factor(LogLength(5, form), row + 1) for row in range(12)])[:, None]  # type: ignore[arg-type]
    wanted = attend(query * rows, key, value, "rope")
    torch.testing.assert_close(attend(query, key, value, f"rope + log_length(5, form={form})"), wanted)


def test_counts_what_the_query_sees() -> None:
    """Inside a window of five no query sees more than five keys, however long the text."""
    query, key, value = torch.randn(3, 2, 4, 12, 8)
    windowed = attend(query, key, value, "rope + window(5) + log_length(5)")
    assert torch.equal(windowed, attend(query, key, value, "rope + window(5)"))


@pytest.mark.parametrize(
    ("keys", "growing", "fixed"),
    [(256, 3.92, 3.90), (512, 4.13, 4.53), (4096, 4.75, 6.50), (16384, 4.95, 7.85)],
)
def test_keeps_the_entropy_of_cosine_attention(keys: int, growing: float, fixed: float) -> None:
    """CosA-logn: with λ = 4 ln n the entropy in nats hardly grows; with λ = 4 ln 256 it grows as ln n does."""
    query = normalize(torch.randn(256, 128), dim=-1)
    cosines = query @ normalize(torch.randn(keys, 128), dim=-1).mT
    for text, wanted in (("cosine + log_length(256, form=training)", growing), ("cosine", fixed)):
        scheme = parse(text)
        sharpness = torch.as_tensor(scheme.scale(1.0, {})).item()
        if scheme.sharpness:
            sharpness *= scheme.sharpness(torch.tensor([[[keys]]]), {}).item()
        entropy = torch.distributions.Categorical(logits=sharpness * cosines).entropy()
        # The published value is a mean over random queries too: three standard errors of a difference of two means.
        three_errors = 3 * (2 / 256) ** 0.5 * entropy.std().item()
        assert entropy.mean().item() == pytest.approx(wanted, abs=three_errors)


def test_refuses_a_length_without_a_logarithm() -> None:
    with pytest.raises(SchemeError, match="at least 2"):
        LogLength(1)
