"""Prompts that begin alike: read once where they are alike, and each as it would be alone."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longspan.errors import InputError, RefusalError
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.shared_prefix import nodes, read_together
from longspan.measure.scoring.writing import written, written_after
from longspan.pretrained.attach import attached
from reading import counting, scaled
from tiny import gemma2, llama

IDS = torch.randint(2, 60, (200,), generator=torch.Generator().manual_seed(0)).tolist()
METHODS = (
    "rope",
    "rerope(window=16) + log_length(trained_length=64)",
    "self_extend(window=16, group=8)",
    "dynamic_ntk(trained_length=64)",
)
PROMPTS = (
    [*IDS[:150], *IDS[:20]],
    [*IDS[:40], 5],
    IDS,
    IDS,
    IDS[:40],
    [*IDS[:150], *IDS[:9], 7],
    [*IDS[:40], *IDS[30:60]],
    [59, 58],
)
MODELS = {"llama": llama, "gemma2": gemma2}
"""With full layers only, and with sliding ones, whose cache cannot be cropped."""


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return MODELS[request.param](60)


@pytest.mark.parametrize("method", METHODS)
def test_a_prompt_is_read_as_it_would_be_alone(model: Any, method: str) -> None:
    """Hidden states agree to 1e-4, although each reader writes on in the cache that it gets."""
    with attached(model, method):
        reader = Reader(model)
        seen = set[int]()
        for read in read_together(reader, PROMPTS):
            seen.add(read.number)
            ids = reader.ids(PROMPTS[read.number])
            torch.testing.assert_close(read.hidden, reader.hidden(ids)[0, -1:], atol=1e-4, rtol=0)
            assert written_after(reader, read.hidden, read.cache, 3)[0] == written(reader, PROMPTS[read.number], 3)[0]
        assert seen == set(range(len(PROMPTS)))


def test_every_token_that_prompts_share_is_read_once(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(model)
    fed = counting(reader, monkeypatch)
    list(read_together(reader, PROMPTS))
    assert sum(fed) == nodes(PROMPTS) == 200 + 20 + 1 + 1 + 30 + 2


WORDS = st.lists(st.lists(st.integers(2, 4), min_size=1, max_size=8), max_size=8)


@settings(max_examples=40)
@given(WORDS)
def test_the_nodes_are_the_different_beginnings(prompts: list[list[int]]) -> None:
    beginnings = {tuple(prompt[:end]) for prompt in prompts for end in range(1, len(prompt) + 1)}
    reader = Reader(llama(60))
    with pytest.MonkeyPatch.context() as patch:
        fed = counting(reader, patch)
        assert sorted(read.number for read in read_together(reader, prompts)) == list(range(len(prompts)))
    assert sum(fed) == nodes(prompts) == len(beginnings)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_keys_that_depend_on_the_length_of_the_call_are_not_shared(kind: str) -> None:
    """What is refused would differ: a cache of 64 tokens is not the beginning of one of 100."""
    model = scaled(kind)
    reader = Reader(model)
    assert reader.shared_length() == 64
    with pytest.raises(RefusalError, match="changes its frequencies with the length of the call beyond 64 tokens"):
        next(read_together(reader, [IDS[:60], IDS[:61]], room=4))
    cache = reader.read(reader.ids(IDS[:60]))[1]
    later = reader.append(cache, reader.ids(IDS[60:100]))[0]
    assert (later[0, -1] - reader.hidden(reader.ids(IDS[:100]))[0, -1]).abs().max() > 1e-2
    for read in read_together(reader, [IDS[:60], IDS[:61]], room=3):
        fresh = reader.hidden(reader.ids(IDS[: 60 + read.number]))[0, -1:]
        torch.testing.assert_close(read.hidden, fresh, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "method"), [("dynamic", "dynamic_ntk"), ("longrope", "longrope"), ("dynamic", "ntk(factor=4)")]
)
def test_methods_that_are_defined_row_by_row_share_at_any_length(kind: str, method: str) -> None:
    with attached(scaled(kind), method) as model:
        reader = Reader(model)
        assert reader.shared_length() is None
        for read in read_together(reader, [IDS[:60], IDS[:180]]):
            fresh = reader.hidden(reader.ids(IDS[: (60, 180)[read.number]]))[0, -1:]
            torch.testing.assert_close(read.hidden, fresh, atol=1e-4, rtol=0)


def test_models_with_fixed_frequencies_share_at_any_length(model: Any) -> None:
    assert Reader(model).shared_length() is None


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InputError, match="a prompt without tokens"):
        list(read_together(Reader(llama(60)), [[3], []]))
