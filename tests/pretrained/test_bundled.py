"""The bundled model: its documents are the ones measured, it loads without a network, and it may ship."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from longspan import bundled

BUNDLED = bundled.model_path().parent
RESULTS = Path(__file__).parents[2] / "experiments" / "bundled" / "results" / "bundled.json"


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text())


def test_the_documents_are_those_that_were_measured():
    known = json.loads((BUNDLED / "documents" / "sha256.json").read_text())
    found = {p.name: p for p in (BUNDLED / "documents").glob("*.txt") if p.name != "LICENSE.txt"}
    assert found.keys() == known.keys()
    assert {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in found.items()} == {
        name: facts["sha256"] for name, facts in known.items()
    }


def test_the_weights_are_those_that_were_measured(results):
    weights = (BUNDLED / "model" / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == results["weights_sha256"]


def test_a_fact_is_recalled_without_a_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "model", local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(BUNDLED / "model", local_files_only=True, dtype=torch.float32).eval()
    words = json.loads((BUNDLED / "words.json").read_text())
    facts = list(zip(words["names"][:4], words["values"][:4], strict=True))
    text = (BUNDLED / "documents" / "shakespeare-macbeth.txt").read_text()[2000:2700]
    stated = "".join(" " + words["fact"].format(name=name, value=value).strip() for name, value in facts)
    values = [tokenizer(" " + value).input_ids[0] for _, value in facts]
    right = 0
    for place, (name, _) in enumerate(facts):
        question = " " + words["fact"].partition("{value}")[0].format(name=name).strip()
        ids = tokenizer(text[:200] + stated + text[200:] + question, return_tensors="pt").input_ids
        assert ids.shape[1] <= model.config.max_position_embeddings
        with torch.no_grad():
            right += int(model(ids).logits[0, -1, values].argmax()) == place
    assert right >= 3


def test_the_ship_conditions_hold(results):
    asked = results["retrieval_512"]["with_distractors"]
    assert asked["n"] >= 200
    assert asked["accuracy"] >= 0.8
    assert results["loss_512"]["512 plain"]["bootstrap95"][1] < 0
    assert results["ships"]


def test_reach_is_limited_by_position_alone(results):
    beyond = {name: cell["beyond_trained_length"] for name, cell in results["beyond"]["4096"].items()}
    plain = beyond["with_distractors: plain"]
    rerope = beyond["with_distractors: rerope(window=256) + log_length"]
    assert plain["wilson95"][0] <= 0.25
    assert rerope["wilson95"][0] > max(0.25, plain["wilson95"][1])
