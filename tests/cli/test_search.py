"""`longspan search` from end to end on a tiny model: results, resuming, a kill, stock frequencies, bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import longspan as library
from longspan.notation import parse
from longspan.rotation.longrope import LongRoPE
from longspan.search.request import Request
from longspan.search.run import run_search
from longspan.search.strategies.factors import FactorSearch, Family
from tiny import save_model, words_tokenizer

SOURCE = Path(__file__).parents[2] / "src"
FILES = ["model", "results.jsonl", "run.json", "summary.json"]


def arguments(model: Path, texts: Path, out: Path, *more: str) -> list[str]:
    few = ["--docs", "8", "--search-docs", "2", "--tolerance", "1", "--dtype", "float32"]
    return ["search", str(model), "--to", "128", "--text", str(texts), "--out", str(out), *few, *more]


def lines(out: Path) -> list[str]:
    path = out / "results.jsonl"
    return path.read_text().splitlines(keepends=True) if path.exists() else []


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def methods(out: Path) -> list[str]:
    """Of all readings, in the order in which they were made."""
    arguments = [json.loads(line)["arguments"] for line in lines(out)]
    return [each["method"] for each in arguments if each["kind"] == "reading"]


def test_the_whole_way(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    """Ten candidates at most; a second call measures nothing again; the model is what the judgement recommends."""
    out = tmp_path / "out"
    command = arguments(model, texts, out, "--budget", "0.001")
    outcome = longspan(*command)
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in out.iterdir()) == FILES
    found = summary(out)
    assert [rating["method"].partition("(")[0] for rating in found["known"]] == ["linear", "ntk", "ntk", "yarn"]
    assert found["trajectory"]["candidates"] == 9
    assert "one batch of 9 candidates, and the judgement, take about" in outcome.err
    # On the documents of the search, never worse than what it started from.
    assert found["found"]["cost"] <= min(rating["cost"] for rating in found["known"])
    assert found["trajectory"]["best"][-1] == found["found"]["cost"]
    assert len(found["judgement"]["documents"]) == 8
    assert not set(found["judgement"]["documents"]) & set(found["setting"]["documents"])
    assert found["sentence"] in outcome.out
    config = json.loads((out / "model" / "config.json").read_text())
    assert config["rope_parameters"]["rope_type"] == "longrope"
    before = lines(out)
    again = longspan(*command, "--json")
    assert again.code == 0
    assert json.loads(again.out) == json.loads((out / "summary.json").read_text())
    assert lines(out) == before
    assert longspan("export", str(out / "model")).out.startswith("vllm: --hf-overrides")


def test_a_larger_budget_goes_on_where_a_smaller_one_ended(model: Path, texts: Path, tmp_path: Path) -> None:
    """Two batches are one batch, and one more: the same candidates in the same order."""
    short, long = tmp_path / "short", tmp_path / "long"
    begun = run_limited(model, texts, short, 1)
    first = methods(short)
    assert run_limited(model, texts, short, 2) == run_limited(model, texts, long, 2)
    assert set(methods(short)) == set(methods(long)) | set(first)
    assert len(begun) + 1 == len(summary(long)["trajectory"]["best"])


def run_limited(model: Path, texts: Path, out: Path, batches: int) -> list[float]:
    """The lowest cost after each batch, of a search that may make so many: CMA-ES says that it has converged then."""

    class Limited(FactorSearch):
        asked_for = 0

        def ask(self) -> tuple[str, ...]:
            self.asked_for += 1
            return super().ask() if self.asked_for <= batches else ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("longspan.search.run.FactorSearch", Limited)
        request = Request(
            str(model), 128, "", texts=(texts,), out=out, search_docs=2, tolerance=1.0, budget=1000, dtype="float32"
        )
        return list(run_search(request, Quiet()).trajectory.best)


class Quiet:
    def say(self, text: str) -> None: ...

    def watch(self, stage: str, asked: Any, made: Any, pace: Any) -> None:
        for _ in made:
            pass


def test_a_killed_search_takes_the_same_way_again(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    program = "from longspan.cli import main; main()"
    short = ["--budget", "0.001"]
    command = [sys.executable, "-c", program, *arguments(model, texts, out, *short)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(lines(out)) < 14:  # two short texts, four known methods on two documents, and two candidates
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    kept = [line for line in lines(out) if line.endswith("\n")]
    assert not (out / "summary.json").exists()
    assert longspan(*arguments(model, texts, out, *short)).code == 0
    assert lines(out)[: len(kept)] == kept
    assert longspan(*arguments(model, texts, whole, *short)).code == 0
    assert methods(out) == methods(whole)
    for name in ("known", "trajectory", "found", "rival", "judgement"):
        assert summary(out)[name] == summary(whole)[name]


def test_a_found_curve_has_the_same_logits_in_stock_transformers(model: Path, tmp_path: Path) -> None:
    """The folder of a candidate loads without longspan, beyond the trained length too."""
    plain = AutoModelForCausalLM.from_pretrained(model).eval()
    library.extend(plain, "rope")
    attachment = getattr(plain, "longspan_attachment")  # noqa: B009
    family = Family.of(attachment.target, library.Geometry(2, 1, 16, 64), 256)
    assert (family.pairs, family.rotary_dim) == (8, 16)
    search = FactorSearch(family, 0)
    search.begin([0.0, 1.0, 1.0, 1.0])
    text = search.ask()[0]
    assert isinstance(parse(text).rotation, LongRoPE)
    library.save(library.load(model, text, length=256), tmp_path / "found")
    ids = torch.randint(2, 40, (1, 200))
    with torch.no_grad():
        stock = AutoModelForCausalLM.from_pretrained(tmp_path / "found").eval()(ids).logits
        torch.testing.assert_close(stock, library.extend(plain, text)(ids).logits, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(stock, library.extend(plain, "rope")(ids).logits, atol=1e-2)


def test_one_scheme_per_layer(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    """Two layers and two schemes: what is found is one of four plans, or a scheme of both layers."""
    out = tmp_path / "out"
    two = ["--over", "layers", "--scheme", "rerope(window=16)", "--scheme", "window(32)"]
    outcome = longspan(*arguments(model, texts, out, *two))
    assert outcome.code == 0, outcome.err
    found = summary(out)
    known = ["rerope(window=16)", "rope + window(size=32)"]
    assert [rating["method"] for rating in found["known"]] == known
    plans = [f"per_layer('{pattern}', A={a}, B={b})" for pattern in ("AB",) for a, b in (known, known[::-1])]
    assert {*methods(out)} == {*known, *plans}
    assert found["found"]["method"] in {*known, *plans}
    assert found["found"]["cost"] == min(found["trajectory"]["best"])
    assert found["trajectory"]["converged"]
    assert library.load(out / "model") is not None


def test_against_names_what_to_beat(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rivals = ["--against", "rerope(window=16)", "--against", "tile('AB', A=rerope(window=16), B=rope)"]
    outcome = longspan(*arguments(model, texts, out, "--budget", "0.001", *rivals))
    assert outcome.code == 0, outcome.err
    found = summary(out)
    assert [rating["method"] for rating in found["known"]][4:] == rivals[1::2]
    assert found["rival"]["method"] in rivals[1::2]
    assert found["rival"]["cost"] == min(rating["cost"] for rating in found["known"][4:])


def refused(longspan: Any, *command: str) -> str:
    """The one line of an error."""
    outcome = longspan(*command)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    return outcome.err.splitlines()[-1]


def test_bad_input_is_one_clear_line(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = arguments(model, texts, out)
    assert "give the number of tokens to read, as in --to 32k" in refused(longspan, "search", str(model))
    assert "--to 64 changes nothing: the model was trained on 64" in refused(longspan, *command, "--to", "64")
    assert "layers choose between 2 schemes" in refused(
        longspan, *command, "--over", "layers", "--scheme", "rope", "--scheme", "rope"
    )
    assert "--scheme names what layers choose from" in refused(longspan, *command, "--scheme", "rope")
    assert "give your documents: --text PATH" in refused(longspan, "search", str(model), "--to", "128")
    assert "unknown method 'yarm'" in refused(longspan, *command, "--against", "yarm")
    assert "--search-docs must be at least 2, got 1" in refused(longspan, *command, "--search-docs", "1")
    one = texts / "text-00.txt"
    bare = ["search", str(model), "--to", "128", "--out", str(out)]
    assert "to search on and 0 in other files to judge on; 2 and 8 are needed" in refused(
        longspan, *bare, "--text", str(one)
    )
    assert not out.exists()


def test_a_model_without_rotation_is_refused(longspan: Any, texts: Path, tmp_path: Path) -> None:
    folder, tokenizer = tmp_path / "gpt2", words_tokenizer()
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=1)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    line = refused(longspan, *arguments(folder, texts, tmp_path / "out"))
    assert line.startswith("longspan: ")
    assert "rot" in line


def test_a_model_that_returns_nan_is_refused(longspan: Any, texts: Path, tmp_path: Path) -> None:
    broken = save_model(tmp_path / "broken", broken=True)
    line = refused(longspan, *arguments(broken, texts, tmp_path / "out"))
    assert "plain failed: the model returned NaN or infinity" in line


def test_two_seeds_do_not_share_a_folder(longspan: Any, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert longspan(*arguments(model, texts, out, "--budget", "0.001")).code == 0
    line = refused(longspan, *arguments(model, texts, out, "--seed", "1"))
    assert f"{out} holds other results (candidates_seed 0, not 1): give another --out" in line
