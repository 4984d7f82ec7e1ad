"""Whoever saves an extended model keeps the extension, and whoever loads it without longspan is refused."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.attachment import attachment_of
from pretrained.families import small_model
from pretrained.models import TRAINED, logits, tiny_llama, tokens
from tiny import words_tokenizer

WORDS = tokens(2, 70)
LONG = 4 * TRAINED
SCHEMES = ("rerope(window=8) + log_length", "rope(theta=1e6)", "window(size=12, sinks=2)")


def text_of(model) -> str:
    attachment = attachment_of(model)
    assert attachment is not None
    return attachment.text


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gemma4"])
def test_save_pretrained_writes_what_save_writes(tmp_path, family, scheme):
    model = longspan.extend(small_model(family), scheme, length=LONG)
    longspan.save(model, tmp_path / "ours")
    model.save_pretrained(tmp_path / "theirs")
    ours, theirs = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("ours", "theirs"))
    assert theirs == ours
    assert "context_extension" in json.loads(ours["config.json"])
    loaded = longspan.load(tmp_path / "theirs").eval()
    assert torch.equal(logits(loaded, WORDS), logits(model, WORDS))
    assert text_of(loaded) == text_of(model)
    assert loaded.config.get_text_config(decoder=True).max_position_embeddings == LONG


def test_after_detach_the_model_saves_itself(tmp_path):
    model = longspan.detach(longspan.extend(tiny_llama(), "rerope(8)", length=LONG))
    model.save_pretrained(tmp_path / "model")
    tiny_llama().save_pretrained(tmp_path / "plain")
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "plain").iterdir()
    }


def test_saving_leaves_the_model_as_it_was(tmp_path):
    model = longspan.extend(tiny_llama(), "rerope(8)", length=LONG)
    config, found = model.config, logits(model, WORDS)
    model.save_pretrained(tmp_path / "model")
    assert model.config is config
    assert model.config.max_position_embeddings == LONG
    assert torch.equal(logits(model, WORDS), found)


def test_a_copy_saves_its_own_weights(tmp_path):
    model = longspan.extend(tiny_llama(), "rerope(8)")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.lm_head.weight.add_(1.0)
    twin.save_pretrained(tmp_path / "twin")
    assert torch.equal(longspan.load(tmp_path / "twin").lm_head.weight, twin.lm_head.weight)


def test_the_trainer_keeps_the_extension(tmp_path):
    model = longspan.extend(tiny_llama(), "rerope(window=8)", length=LONG)
    rows = [{"input_ids": row, "labels": row} for row in WORDS]
    arguments = TrainingArguments(str(tmp_path / "run"), max_steps=1, report_to=[], use_cpu=True, save_steps=1)
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    trainer.save_model(str(tmp_path / "model"))
    for folder in (tmp_path / "model", tmp_path / "run" / "checkpoint-1"):
        assert text_of(longspan.load(folder)) == "rerope(window=8)"


def test_a_readme_of_somebody_else_stays(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text("# Mine\n")
    model = longspan.extend(tiny_llama(), "rerope(8)")
    model.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "README.md").read_text() == "# Mine\n"
    (tmp_path / "model" / "README.md").unlink()
    model.save_pretrained(tmp_path / "model")
    longspan.extend(model, "rerope(9)").save_pretrained(tmp_path / "model")
    assert "rerope(window=9)" in (tmp_path / "model" / "README.md").read_text()


def test_other_loaders_refuse_what_they_cannot_apply(tmp_path):
    folder = longspan.save(longspan.extend(tiny_llama(), "rerope(8)", length=LONG), tmp_path / "model")
    program = f"from transformers import AutoModelForCausalLM as A; A.from_pretrained({str(folder)!r})"
    alone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert alone.returncode != 0
    assert 'attn_implementation="longspan"` is not supported' in alone.stderr
    beside = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(RefusalError, match=r"longspan\.load\(FOLDER\)"):
        logits(beside, WORDS)
    plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    assert torch.equal(logits(plain, WORDS), logits(tiny_llama(), WORDS))
    assert plain.config.max_position_embeddings == TRAINED


def test_the_card_begins_with_who_can_run_it(tmp_path):
    for scheme, first in (("rerope(8)", "**Load it with longspan.**"), ("yarn", "Every runtime that reads")):
        folder = longspan.save(longspan.extend(tiny_llama(), scheme, length=LONG), tmp_path / scheme)
        assert (folder / "README.md").read_text().splitlines()[2].startswith(first)


def test_the_saved_tokenizer_names_the_length(tmp_path):
    tokenizer = words_tokenizer()
    tokenizer.model_max_length = TRAINED
    model = longspan.extend(tiny_llama(), "rerope(8)", length=LONG)
    folder = longspan.save(model, tmp_path / "model", tokenizer=tokenizer)
    assert AutoTokenizer.from_pretrained(folder).model_max_length == LONG
    assert tokenizer.model_max_length == TRAINED
    longspan.save(longspan.detach(model), tmp_path / "plain", tokenizer=tokenizer)
    assert AutoTokenizer.from_pretrained(tmp_path / "plain").model_max_length == TRAINED
