"""Nothing is made up in place of a weight, nothing in a checkpoint runs, and every failure is one line."""

import json
import pickle
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

import longspan
from longspan.errors import LongspanError, RefusalError
from longspan.pretrained.storing.save import load_tokenizer, read_config
from pretrained import damage
from pretrained.families import small_model
from pretrained.gguf_files import tensors_of, write
from pretrained.models import logits, tiny_llama, tokens
from tiny import llama, save_model, words_tokenizer

WORDS = tokens(1, 40)


def refused(source: Path | str, words: str, read: Any = longspan.load) -> None:
    with pytest.raises(RefusalError, match=words) as raised:
        read(source)
    assert "\n" not in str(raised.value)
    assert str(source) in str(raised.value)


# --- every weight comes from the file ---------------------------------------------------------------------------------

NAMES = sorted(tiny_llama().state_dict())
TIED = {"lm_head.weight", "model.embed_tokens.weight"}
DAMAGE = {
    "lost": lambda weights, name: weights.pop(name),
    "renamed": lambda weights, name: weights.update({name.replace("weight", "wait"): weights.pop(name)}),
    "of another layer": lambda weights, name: weights.update({f"model.layers.7.{name}": weights.pop(name)}),
    "cut": lambda weights, name: weights.update({name: weights[name][:-1].clone()}),
    "of another rank": lambda weights, name: weights.update({name: weights[name][None].clone()}),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    tiny_llama().save_pretrained(folder)
    return folder


@settings(max_examples=25)
@given(name=st.sampled_from(NAMES), how=st.sampled_from(sorted(DAMAGE)))
def test_a_model_with_a_tensor_of_its_own_making_is_refused(whole: Path, name: str, how: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = damage.copied(whole, Path(scratch) / "model")
        weights = load_file(folder / "model.safetensors")
        DAMAGE[how](weights, name)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        refused(folder, name.removesuffix(".weight"))


@settings(max_examples=6)
@given(named=st.integers(1, 5), held=st.integers(1, 5), tied=st.booleans(), headless=st.booleans())
def test_a_file_of_so_many_layers_is_a_model_of_so_many(named: int, held: int, tied: bool, headless: bool) -> None:
    """A checkpoint of the text model alone, whose head is its embedding, counts as well."""
    model = tiny_llama(num_hidden_layers=held, tie_word_embeddings=tied or headless)
    with tempfile.TemporaryDirectory() as scratch:
        (model.model if headless else model).save_pretrained(scratch)
        damage.change_config(Path(scratch), num_hidden_layers=named, layer_types=None)
        if named == held:
            assert torch.equal(logits(longspan.load(scratch).eval(), WORDS), logits(model, WORDS))
        else:
            refused(scratch, rf"layers\.{min(named, held)}\.")


def test_a_bias_that_the_config_knows_nothing_of_is_refused(tmp_path):
    tiny_llama(attention_bias=True).save_pretrained(tmp_path)
    refused(damage.change_config(tmp_path, attention_bias=False), r"does not use: .*k_proj\.bias.* and 5 more")


@pytest.mark.parametrize("shards", [1, 9])
def test_layers_without_number_are_refused_before_they_are_made(tmp_path, shards):
    tiny_llama().save_pretrained(tmp_path, max_shard_size="10MB" if shards == 1 else "60KB")
    refused(
        damage.change_config(tmp_path, num_hidden_layers=10**12, layer_types=None),
        "has 10{12} layers and its weights are only 21 tensors",
    )


def test_a_name_in_a_checkpoint_cannot_write_lines_of_its_own(tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors") | {"model.layers.\n\x1b[2Jdone": torch.ones(2)}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    refused(tmp_path, re.escape(r"does not use: 'model.layers.\n\x1b[2Jdone'"))


@pytest.mark.parametrize("lost", sorted(TIED))
def test_either_of_two_tied_weights_is_enough(tmp_path, lost):
    model = tiny_llama(tie_word_embeddings=True)
    model.save_pretrained(tmp_path)
    weights: dict[str, Tensor] = dict.fromkeys(TIED - {lost}, model.lm_head.weight.detach())
    kept = {name: weight for name, weight in load_file(tmp_path / "model.safetensors").items() if name not in TIED}
    save_file(kept | weights, tmp_path / "model.safetensors", {"format": "pt"})
    assert torch.equal(logits(longspan.load(tmp_path).eval(), WORDS), logits(model, WORDS))


def test_whole_parts_and_old_buffers_may_be_left_over(tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    more = {
        "model.vision_tower.layers.0.weight": torch.ones(2),
        "v_head.weight": torch.ones(2),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        "model.rotary_emb.inv_freq": torch.ones(8),
    }
    save_file(weights | more, tmp_path / "model.safetensors", {"format": "pt"})
    assert torch.equal(logits(longspan.load(tmp_path).eval(), WORDS), logits(tiny_llama(), WORDS))


@pytest.mark.parametrize(
    "family",
    ["cohere", "deepseek_v3", "gemma2", "gemma4", "gpt_neox", "gpt_oss", "nanochat", "phi3", "phimoe", "qwen3_next"],
)
def test_what_a_family_saves_is_loaded_again(tmp_path, family):
    model = small_model(family)
    model.save_pretrained(tmp_path)
    loaded = longspan.load(tmp_path).eval()
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(weight, loaded.state_dict()[name]) for name, weight in model.state_dict().items())


# --- nothing in a checkpoint runs -------------------------------------------------------------------------------------


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def sharded(model: PreTrainedModel, folder: Path) -> dict[str, str]:
    """Save it in several files; which weight is in which."""
    model.save_pretrained(folder, max_shard_size="60KB")
    return json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]


OUTSIDE = [
    "model.bin",
    "model.safetensors.bin",
    "../model.safetensors",
    "{}/model.safetensors",
    "a/../../model.safetensors",
    "..\\model.safetensors",
    "C:\\model.safetensors",
    "",
    3,
    ["model.safetensors"],
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("field", ["index", "transformers_weights"])
def test_only_safetensors_inside_the_checkpoint_are_read(tmp_path, monkeypatch, field, name):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    folder, went_off = tmp_path / "model", tmp_path / "went_off"
    weight_map = sharded(tiny_llama(), folder)
    save_file(tiny_llama().state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    for bomb in ("model.bin", "model.safetensors.bin"):
        (folder / bomb).write_bytes(pickle.dumps(Bomb(went_off)))
    name = name.format(tmp_path) if isinstance(name, str) else name
    if field == "index":
        index = {"metadata": {}, "weight_map": dict.fromkeys(weight_map, name)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        damage.change_config(folder, transformers_weights=name)
    refused(folder, "only safetensors files inside the checkpoint are read")
    assert not went_off.exists()


def test_an_adapter_beside_the_model_is_refused(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read"))
    folder = damage.copied(whole, tmp_path / "model")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "went_off")))
    refused(folder, "holds an adapter")


def test_a_cache_of_links_is_read(tmp_path):
    """The cache of the Hub keeps files elsewhere, under names without an ending."""
    sharded(tiny_llama(), tmp_path / "blobs")
    snapshot = tmp_path / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted((tmp_path / "blobs").iterdir())):
        path.rename(path.with_name(f"{number}"))
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", f"{number}"))
    assert torch.equal(logits(longspan.load(snapshot).eval(), WORDS), logits(tiny_llama(), WORDS))


# --- what an extension may say ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its config holds the fields that stock loaders read, and those that they took the place of."""
    model = longspan.extend(tiny_llama(), "rope(theta=1e6)", length=128)
    return longspan.save(model, tmp_path_factory.mktemp("extended") / "model")


FIELDS = st.sampled_from(["num_hidden_layers", "_attn_implementation", "rms_norm_eps", "auto_map", "vocab_size"])
COUNTLESS = st.booleans() | st.integers(max_value=0) | st.text() | st.floats()
WRONG = {
    "scheme": st.none() | st.integers() | st.lists(st.text()),
    "length": COUNTLESS,
    "version": st.none() | COUNTLESS | st.integers(2),
    "original": st.none()
    | st.lists(st.text())
    | st.dictionaries(FIELDS | st.text(), st.integers(1, 9), min_size=1)
    | st.fixed_dictionaries({"rope_parameters": st.none() | st.integers() | st.text()})
    | st.fixed_dictionaries({"max_position_embeddings": st.none() | COUNTLESS}),
}


@settings(max_examples=60)
@given(wrong=st.sampled_from(sorted(WRONG)).flatmap(lambda name: st.tuples(st.just(name), WRONG[name])))
def test_an_extension_that_save_did_not_write_is_refused(extended: Path, wrong: tuple[str, Any]) -> None:
    name, value = wrong
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(extended / "config.json", scratch)
        extension = json.loads((extended / "config.json").read_text())["context_extension"]
        damage.change_config(Path(scratch), context_extension=extension | {name: value})
        refused(scratch, "context_extension", read_config)


@pytest.mark.parametrize("value", [3, "rerope(8)", ["version"], True])
def test_an_extension_that_is_no_object_is_refused(extended, tmp_path, value):
    folder = damage.copied(extended, tmp_path / "model")
    refused(damage.change_config(folder, context_extension=value), "not written by longspan")


# --- where a checkpoint is --------------------------------------------------------------------------------------------

READERS = [longspan.load, read_config, load_tokenizer]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A Hub that cannot be reached, and what it was asked for; no test waits for it."""
    asked: list[str] = []

    def unreachable(url: str, **_: Any) -> None:
        asked.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr("longspan.pretrained.storing.checkpoint.get_hf_file_metadata", unreachable)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail(f"waited {seconds} s"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return asked


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "name", ["./no", "../no", "/no/model", "~/no", "a/b/c", "models/", "a\\b", "no.gguf", "a/no.gguf"]
)
def test_a_path_that_is_not_there_is_not_looked_for_elsewhere(hub, read, name):
    refused(name, "there is no f(older|ile)", read)
    assert hub == []


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["no", "nobody/no"])
def test_the_hub_is_asked_once(hub, read, name):
    refused(name, f"there is no folder {name}, and the Hugging Face Hub .*no route to host", read)
    assert hub == [f"https://huggingface.co/{name}/resolve/main/config.json"]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ["no!", "nobody/", "a/b--c..d", "", "a\0b", "a\0b.gguf", 300 * "no"])
def test_what_is_neither_path_nor_id_is_refused(hub, read, name):
    refused(name, "Repo id|there is no|null|too long", read)
    assert hub == []


def test_what_was_fetched_before_needs_no_hub(hub, tmp_path):
    repository = tmp_path / "cache" / "models--nobody--tiny"
    save_model(repository / "snapshots" / "0")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    model = longspan.load("nobody/tiny")
    assert torch.equal(logits(model.eval(), WORDS), logits(llama(len(words_tokenizer())), WORDS))
    assert load_tokenizer("nobody/tiny")("the sun").input_ids == words_tokenizer()("the sun").input_ids
    assert len(hub) == 2


def test_a_file_of_weights_is_not_a_checkpoint(whole):
    refused(whole / "model.safetensors", "give the folder that holds it")


# --- whatever is wrong, it is one line --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extended model with its tokenizer, and a GGUF file beside them."""
    folder = tmp_path_factory.mktemp("damaged") / "model"
    tokenizer = words_tokenizer()
    model = longspan.extend(llama(len(tokenizer)), "rope(theta=1e6)", length=128)
    longspan.save(model, folder, tokenizer=tokenizer)
    write(folder / "model.gguf", tensors_of(tiny_llama()))
    return folder


@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_damaged_checkpoint_is_read_or_refused_in_one_line(checkpoint: Path, tmp_path: Path, kind: str) -> None:
    messages = []
    for seed in range(20):
        folder = damage.copied(checkpoint, tmp_path / "model")
        done = damage.damage(folder, kind, seed)
        for read in READERS:
            try:
                read(folder / "model.gguf" if kind == "gguf" else folder)
            except LongspanError as error:
                messages.append(str(error))
            except Exception as error:
                raise AssertionError(f"{done}: {read.__name__} raised {error!r}") from error
    assert len(messages) > 3
    assert not any("\n" in message for message in messages)
