"""Architectures that designs are trained on: those that need care, and those that are refused in one line."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM

from longspan.errors import InputError, LongspanError
from longspan.measure.models.model import LoadedModel
from longspan.pretrained.storing.save import load
from longspan.train.data.choosing import tokenizer_of
from longspan.train.exams.exam import RESULTS, read_records
from longspan.train.model import untrained
from longspan.train.run import Run
from longspan.train.settings import settings_of
from small_runs import MODEL, texts

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "smollm3": {**SIZES, "num_key_value_heads": 1},  # one of four layers does not rotate
    "cohere": {**SIZES, "logit_scale": 1.0},  # what would change logits after the head changes nothing
    "gpt_neox": SIZES,  # a part of the channels rotates
    "modernbert-decoder": SIZES,  # a layer and a norm before the head, and no token may be None
}
"""Fields by architecture."""
PLANS = {"modernbert-decoder": "tile('ASSA', A=kerple_log, S=rope)"}
"""Their plans: layers that see a window keep what their architecture does."""
ENCODERS: dict[str, dict[str, Any]] = {
    "modernbert": {**SIZES, "local_attention": 8},  # three of four layers see a window, with a rope of their own
    "eurobert": {**SIZES, "num_key_value_heads": 1},
    "gte": SIZES,  # a layer and a norm before the head
    "esm": {**SIZES, "position_embedding_type": "rotary", "pad_token_id": 0},
}
"""The same of encoders."""
MASKED: dict[str, Any] = {"objective": "masked"}
REFUSED: dict[str, dict[str, Any]] = {
    "t5": {"fields": {}},
    "bert": {"fields": {}},
    "neomme": {"fields": {**SIZES, "num_key_value_heads": 1}, "plan": "rope + bidirectional", **MASKED},
}
"""What is given of architectures that are refused, where it is more than sizes."""


def run(
    folder: Path,
    architecture: str,
    fields: dict[str, Any],
    plan: str = "kerple_log",
    *,
    name: str = "run",
    test: bool = False,
    **training: Any,
) -> Run:
    given = {"length": 16, "steps": 2, "batch": 2, "warmup": 1, **training}
    data = {"train": [str(given.pop("texts", None) or texts(folder / "texts"))]}
    tables = {"model": {"architecture": architecture, **fields}, "design": {"plan": plan}, "data": data}
    if test:
        data["test"] = [str(folder / "held.txt")]
        (folder / "held.txt").write_text("zyxwvutsrqponmlkjihgfedcba" * 4)
        tables["test"] = {"lengths": [16, 32], "docs": 4, "methods": ["rerope(window=2)"]}
    return Run(settings_of({**tables, "training": given}), folder / name)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_is_trained_and_loads_back(tmp_path: Path, architecture: str) -> None:
    made = run(tmp_path, architecture, ARCHITECTURES[architecture], PLANS.get(architecture, "kerple_log"))
    for _ in made.train():
        pass
    ids = torch.arange(1, 30)[None]
    with torch.no_grad():
        wanted = made.model(input_ids=ids).logits
        assert torch.equal(load(tmp_path / "run" / "model")(input_ids=ids).logits, wanted)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoder_learns_hidden_tokens_and_is_one_of_transformers(tmp_path: Path, architecture: str) -> None:
    """A plain plan is the architecture's own, so that transformers loads its folder without longspan."""
    fields = ENCODERS[architecture]
    made = run(tmp_path, architecture, fields, "rope + bidirectional", steps=60, batch=4, rate=2e-2, **MASKED)
    losses = [step.loss for step in made.train()]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    ids, folder = torch.arange(1, 30)[None], tmp_path / "run" / "model"
    with torch.no_grad():
        wanted = made.model(input_ids=ids).logits
        assert torch.equal(load(folder)(input_ids=ids).logits, wanted)
        theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()(input_ids=ids).logits
    torch.testing.assert_close(theirs, wanted, rtol=0, atol=1e-5 * float(wanted.std()))


def test_an_encoder_with_packed_rows_goes_on_to_the_bit(tmp_path: Path) -> None:
    """With learned numbers in the layers that see everything, of documents shorter than a row and longer ones."""
    for number in range(30):
        (tmp_path / "short").mkdir(exist_ok=True)
        text = "abcdefghijklmnopqrstuvw" * 2 if number > 25 else "abcdefghi"[number % 7 :][: 2 + number % 5]
        (tmp_path / "short" / f"{number:02}.txt").write_text(text)
    given: dict[str, Any] = {
        "plan": "tile('ASSA', A=kerple_log + bidirectional, S=rope + bidirectional)",
        "texts": tmp_path / "short",
        "steps": 6,
        "save_every": 2,
        **MASKED,
    }
    whole = run(tmp_path, "modernbert", ENCODERS["modernbert"], **given)
    assert whole.reading.batch(0, 40).positions is not None
    wanted = [step.loss for step in whole.train()]
    begun = run(tmp_path, "modernbert", ENCODERS["modernbert"], name="killed", **given).train()
    found = [next(begun).loss for _ in range(3)][:2]
    begun.close()  # the third step was not saved
    found += [s.loss for s in run(tmp_path, "modernbert", ENCODERS["modernbert"], name="killed", **given).train()]
    assert found == wanted
    first, second = (load(tmp_path / name / "model") for name in ("run", "killed"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_an_exam_of_an_encoder_asks_its_whole_head(tmp_path: Path) -> None:
    """The answers of the exam are those of transformers' own model on the same rows."""
    made = run(tmp_path, "modernbert", ENCODERS["modernbert"], "rope + bidirectional", test=True, **MASKED)
    for _ in made.train():
        pass
    exam = made.exam
    assert exam is not None
    assert len(list(exam.take(tmp_path / "run" / "model", tmp_path / "run" / "measured"))) == 16
    theirs: Any = AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / "model").eval()
    compared = 0
    for record in read_records(tmp_path / "run" / "measured" / RESULTS):
        assert record["failed"] is None  # a method is put on an encoder as well
        asked = {name: record["arguments"][name] for name in ("length", "index")}
        batch = exam.question(**asked).batch
        assert record["result"]["all"]["asked"] == int(batch.asked.sum())
        if record["arguments"]["method"] != "plain" or not batch.asked.any():  # a short row may hide nothing
            continue
        with torch.no_grad():
            logits = theirs(input_ids=batch.inputs).logits[batch.asked]
        wanted = float(torch.nn.functional.cross_entropy(logits, batch.targets[batch.asked]))
        assert record["result"]["all"]["loss"] == pytest.approx(wanted, rel=1e-5)
        compared += 1
    assert compared > 4


@pytest.mark.parametrize(
    ("architecture", "why"),
    [
        ("modernbert", "sees later tokens, as encoders do: add"),
        ("t5", "neither a causal nor a masked language model of 't5'"),
        ("neomme", "the head of a model of neomme does not take its hidden states"),
        ("bert", "has no rotary position embedding"),
        ("cohere", "more between its layers and its logits than a head"),  # logit_scale is 0.0625 there
    ],
)
def test_an_architecture_that_cannot_be_trained_is_one_line(tmp_path: Path, architecture: str, why: str) -> None:
    with pytest.raises(LongspanError, match=why) as found:
        run(tmp_path, architecture, **REFUSED.get(architecture, {"fields": SIZES}))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("width", [16, 64, 256])
def test_a_cap_of_logits_is_seen_whatever_the_width(width: int) -> None:
    """Gemma 2 caps logits at 30, and those of small untrained models are far below."""
    for cap, refused in ((30.0, True), (1e9, False)):
        sizes = {"hidden_size": width, "intermediate_size": 16, "num_hidden_layers": 2, "head_dim": 8}
        heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "final_logit_softcapping": cap}
        model = {"architecture": "gemma2", **sizes, **heads}
        settings = settings_of({"model": model, "data": {"task": "reverse"}, "training": {"length": 64}})
        with pytest.raises(InputError, match="a cap") if refused else nullcontext():
            untrained(settings, tokenizer_of(settings))


def test_a_model_that_sees_later_tokens_is_not_measured_as_one_that_predicts_them(tmp_path: Path) -> None:
    made = run(tmp_path, "llama", MODEL, "rope + bidirectional", objective="masked")
    for _ in made.train():
        pass
    with pytest.raises(LongspanError, match="sees the tokens that it would have to predict"):
        LoadedModel.load(str(tmp_path / "run" / "model"), "float32")
