"""What a model writes: its most likely tokens, with and without a cache, up to an end or as many as wanted."""

from typing import Any

import pytest
import torch

from longspan.measure.reading.reader import Reader
from longspan.measure.scoring.writing import written, written_after
from standin import StandIn
from tiny import gemma2, llama

IDS = [5, 9, 2, 31, 7, 12]


def by_hand(model: Any, ids: list[int], count: int) -> tuple[list[int], float]:
    """The same without a cache: every token from a whole reading of its own."""
    found, likelihood = list[int](), 0.0
    for _ in range(count):
        with torch.no_grad():
            likely = model(input_ids=torch.tensor([[*ids, *found]])).logits[0, -1].float().log_softmax(-1)
        found.append(int(likely.argmax()))
        likelihood += float(likely.max())
    return found, likelihood


@pytest.mark.parametrize("made", [llama, gemma2])
def test_it_writes_what_readings_without_a_cache_hold_most_likely(made: Any) -> None:
    model = made(60)
    model.generation_config.eos_token_id = None
    ids, likelihood = written(Reader(model), IDS, 12)
    wanted, sum_of_logs = by_hand(model, IDS, 12)
    assert ids == wanted
    assert likelihood == pytest.approx(sum_of_logs, abs=1e-4)


def test_it_is_what_generate_writes() -> None:
    model: Any = llama(60)
    wanted = model.generate(torch.tensor([IDS]), max_new_tokens=15, do_sample=False, eos_token_id=None, pad_token_id=0)
    model.generation_config.eos_token_id = None
    assert written(Reader(model), IDS, 15)[0] == wanted[0, len(IDS) :].tolist()


@pytest.mark.parametrize("ends", [4, [4, 6], (1, 4)])
def test_it_stops_at_a_token_that_ends_a_text(ends: Any) -> None:
    """The stand-in counts 0 … 6; the end itself is not written and its likelihood counts."""
    model = StandIn(7, lambda following, visible: 0.1 + 0.01 * visible)
    model.config.eos_token_id = ends
    found, likelihood = written(Reader(model), [0, 1], 20)
    assert found == [2, 3]
    assert likelihood == pytest.approx(-sum(0.1 + 0.01 * visible for visible in (2, 3, 4)), abs=1e-5)


def test_it_stops_when_there_are_enough() -> None:
    reader = Reader(StandIn(7, lambda following, visible: 0.1 + 0 * visible))
    assert written(reader, [0, 1], 3)[0] == [2, 3, 4]


def test_a_prompt_that_was_read_is_not_read_again() -> None:
    model = StandIn(7, lambda following, visible: 0.1 + 0 * visible)
    reader = Reader(model)
    hidden, cache = reader.read(reader.ids([0, 1, 2]))
    before = model.read
    assert written_after(reader, hidden[0, -1:], cache, 3)[0] == [3, 4, 5]
    assert model.read - before == 2  # the third token needs no reading of its own


def test_nan_ends_it_and_remains() -> None:
    model = llama(60)
    with torch.no_grad():
        model.get_submodule("model.layers.1.mlp.down_proj").get_parameter("weight").fill_(float("nan"))
    model.generation_config.eos_token_id = None
    found, likelihood = written(Reader(model), IDS, 9)
    assert len(found) == 1
    assert likelihood != likelihood
