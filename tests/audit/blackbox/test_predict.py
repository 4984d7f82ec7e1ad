"""What a server writes has the base of dynamic NTK that its own model has, step by step and request after request."""

from typing import Any

import numpy as np
import pytest
import torch

from audit.blackbox.serving import OPENING, TRAINED_LENGTH, local, stock
from longspan.audit.blackbox.answer import Answer
from longspan.audit.blackbox.hypothesis import ByRequest, Hypothesis
from longspan.audit.blackbox.predict import Request, predicted
from longspan.measure.reading.reader import Reader
from longspan.rotation.dynamic_ntk import DynamicNTK
from longspan.scheme import Scheme

ROPE: dict[str, Any] = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}}
ROTATION = DynamicNTK(TRAINED_LENGTH, factor=4.0, theta=10000.0)
WRITTEN = 16


def wrote(model: Any, request: Request) -> Answer:
    """What transformers writes with its own cache, at temperature 0."""
    sent = torch.tensor([request.ids])
    ids = model.generate(
        sent, attention_mask=torch.ones_like(sent), max_new_tokens=WRITTEN, do_sample=False, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    tokens = tuple(ids[0, len(request.ids) :].tolist())
    positions = tuple(range(len(request.ids), len(request.ids) + len(tokens)))
    return Answer(positions, tokens, (0.0,) * len(tokens), tokens, chosen=True)


def requests(lengths: list[int]) -> list[Request]:
    numbers = np.random.default_rng(0)
    bodies = [numbers.integers(2, local().config.vocab_size, length - 1).tolist() for length in lengths]
    return [Request((*OPENING, *body), OPENING) for body in bodies]


@pytest.mark.parametrize(
    "lengths",
    [[80, 100, 120], [56, 60], [120, 70, 66], [120, 40, 70], [64, 63, 64]],
    ids=["longer and longer", "over the trained length", "shorter ones", "one within the trained length", "its edge"],
)
def test_all_that_transformers_writes_under_dynamic_scaling_is_the_most_likely_token(lengths: list[int]) -> None:
    asked = requests(lengths)
    server = stock(**ROPE)
    answers = [wrote(server, request) for request in asked]
    hypothesis = ByRequest("by request", Scheme.of(ROTATION))
    assert predicted(Reader(local()), hypothesis, asked, answers).tolist() == pytest.approx([0.0] * 16 * len(asked))


def test_other_ways_to_choose_the_base_are_another_model() -> None:
    """The control of the test above: one base for prompt and continuation, and one for each row."""
    asked = requests([80, 100, 120])
    server = stock(**ROPE)
    answers = [wrote(server, request) for request in asked]
    for other in (Hypothesis("by row", Scheme.of(ROTATION)), Hypothesis("plain")):
        assert predicted(Reader(local()), other, asked, answers).min() < -0.05


def test_the_lengths_of_steps_are_those_of_transformers() -> None:
    """A base stays until a longer text comes, or one that is shorter than the trained length."""
    hypothesis = ByRequest("by request", Scheme.of(ROTATION))
    assert hypothesis.steps([(80, 2), (70, 1), (63, 2), (64, 1)]) == [
        (80, 81, 81),
        (81, 81),
        (64, 64, 64),
        (64, 64),
    ]
    assert hypothesis.steps([(80, 0), (70, 0)]) == [(80,), (70,)]


PAIRS = len(local().model.rotary_emb.inv_freq)
FOLLOWING: dict[str, dict[str, Any]] = {
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}},
    "longrope": {
        "max_position_embeddings": 4 * TRAINED_LENGTH,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": TRAINED_LENGTH,
            "short_factor": [1.0] * PAIRS,
            "long_factor": [1.0 + 3 * pair / (PAIRS - 1) for pair in range(PAIRS)],
        },
    },
}


@pytest.mark.parametrize("kind", FOLLOWING)
def test_first_parts_of_a_text_are_rotated_as_calls_of_their_own_length(kind: str) -> None:
    """A server that is asked for next tokens reads each part alone, and rotates it by the length of that part."""
    (whole,) = requests([128])
    asked = [Request(whole.ids[:length], OPENING) for length in (40, 64, 65, 90, 100, 128)]
    likely = [next_token(stock(**FOLLOWING[kind]), request) for request in asked]
    answers = [Answer((len(each.ids),), (int(row.argmax()),), (0.0,)) for each, row in zip(asked, likely, strict=True)]
    found = predicted(Reader(stock(**FOLLOWING[kind])), Hypothesis("plain"), asked, answers)
    assert found.tolist() == pytest.approx([float(row.max()) for row in likely], abs=1e-5)


def next_token(model: Any, request: Request) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([request.ids]), use_cache=False).logits[0, -1].double().log_softmax(-1)


def test_parts_of_a_text_with_one_rotation_are_read_once() -> None:
    """LongRoPE has two rotations: two calls, however many parts."""
    (whole,) = requests([128])
    asked = [Request(whole.ids[:length], OPENING) for length in range(40, 129, 8)]
    answers = [Answer((len(each.ids),), (5,), (0.0,)) for each in asked]
    for kind, calls in (("longrope", 2), (None, 1)):
        reader = Reader(stock(**FOLLOWING[kind] if kind else {}))
        read: list[int] = []
        hook = reader.body.register_forward_pre_hook(
            lambda module, args, kwargs, read=read: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
        )
        predicted(reader, Hypothesis("plain"), asked, answers)
        hook.remove()
        assert len([length for length in read if length > 1]) == calls
