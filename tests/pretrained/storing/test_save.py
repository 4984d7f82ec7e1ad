import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.quantizers import quantizer_gguf

import longspan
from faulty_disk import at_every_change, full_after, killed_after
from longspan.errors import InputError, RefusalError
from longspan.pretrained.storing.save import overwrite
from pretrained.models import logits, tiny_llama, tokens

WORDS = tokens(2, 70)

FRESH = """
import sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
with torch.no_grad():
    torch.save(model(torch.load(sys.argv[2])).logits, sys.argv[3])
assert not any(name.startswith("longspan") for name in sys.modules)
"""


def in_a_fresh_process(folder: Path, scratch: Path) -> torch.Tensor:
    """Logits of stock transformers, longspan not imported."""
    torch.save(WORDS, scratch / "words.pt")
    command = [sys.executable, "-c", FRESH, str(folder), str(scratch / "words.pt"), str(scratch / "logits.pt")]
    subprocess.run(command, check=True, capture_output=True)
    return torch.load(scratch / "logits.pt")


@pytest.mark.parametrize(
    "scheme",
    [
        "rerope(window=8) + log_length",
        "rope(theta=1e6)",
        "window(size=12, sinks=2)",
        "tile('AB', A=rope + window(12), B=rerope(8))",
    ],
)
def test_saved_and_loaded_is_the_same_model(tmp_path, scheme):
    model = longspan.extend(tiny_llama(), scheme, length=128)
    expected = logits(model, WORDS)
    folder = longspan.save(model, tmp_path / "model")
    loaded = longspan.load(folder).eval()
    assert torch.equal(logits(loaded, WORDS), expected)
    assert torch.equal(logits(longspan.detach(loaded), WORDS), logits(tiny_llama(), WORDS))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".json", ".md", ".safetensors"]


def test_fixed_frequencies_need_no_longspan(tmp_path):
    model = longspan.extend(tiny_llama(), "rope(theta=1e6)", length=128)
    folder = longspan.save(model, tmp_path / "model")
    torch.testing.assert_close(in_a_fresh_process(folder, tmp_path), logits(model, WORDS), rtol=0, atol=1e-5)
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_parameters"]["rope_type"] == "longrope"
    assert config["rope_parameters"]["short_factor"] == config["rope_parameters"]["long_factor"]
    assert config["max_position_embeddings"] == 128
    assert "longspan is not needed" in (folder / "README.md").read_text()


def test_another_scheme_may_take_the_saved_ones_place(tmp_path):
    folder = longspan.save(longspan.extend(tiny_llama(), "rope(theta=1e6)"), tmp_path / "model")
    expected = logits(longspan.extend(tiny_llama(), "rerope(8)"), WORDS)
    assert torch.equal(logits(longspan.load(folder, "rerope(8)").eval(), WORDS), expected)


def test_an_unextended_model_is_saved_as_it_is(tmp_path):
    folder = longspan.save(tiny_llama(), tmp_path / "model")
    assert torch.equal(logits(longspan.load(folder).eval(), WORDS), logits(tiny_llama(), WORDS))


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("")
    with pytest.raises(RefusalError, match="exists already"):
        longspan.save(tiny_llama(), tmp_path / "model")


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_everything_has_the_mode_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        folder = longspan.save(longspan.extend(tiny_llama(), "rerope(8)"), tmp_path / "models" / "model")
    finally:
        os.umask(before)
    files = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    folders = {path.stat().st_mode & 0o777 for path in (folder, folder.parent)}
    assert (files, folders) == ({0o666 & ~umask}, {0o777 & ~umask})


@pytest.fixture(scope="module")
def large_tokenizer() -> PreTrainedTokenizerFast:
    """Larger on disk than `tiny_llama`."""
    words = {f"word{number}" * 5: number for number in range(20_000)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="word0" * 5)))


@pytest.mark.parametrize("room", [500, 20_000, 500_000], ids=["config", "weights", "tokenizer"])
@pytest.mark.parametrize("write", [longspan.save, overwrite])
def test_a_disk_that_cannot_hold_it_is_one_line(tmp_path, large_tokenizer, write, room):
    """The system cuts a file at `room` bytes: transformers, safetensors and tokenizers report it in their own ways."""
    folder = tmp_path / "model"
    if write is overwrite:
        longspan.save(tiny_llama(), folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(InputError) as raised:
            write(longspan.extend(tiny_llama(1), "rerope(8)"), folder, tokenizer=large_tokenizer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(raised.value) == f"cannot write {folder}: File too large: choose a place that can be written to"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before
    assert os.listdir(tmp_path) == ["model"] * (write is overwrite)


@pytest.mark.parametrize("write", [longspan.save, overwrite])
def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch, write):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"No space left on device \(1\.0 kB free, .* kB needed\): free some space"):
        write(tiny_llama(), tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_one_line_that_names_the_room(tmp_path):
    words = re.escape(f"cannot write {tmp_path / 'model'}: No space left on device (")
    for faulty in at_every_change(full_after, least=5):
        with faulty.mounted():
            longspan.save(longspan.extend(tiny_llama(), "rerope(8)"), tmp_path / "model")
        if faulty.failed:
            assert re.fullmatch(words + r".* free, .* needed\): free some space, or .*", str(faulty.refusal))
            assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("write", [longspan.save, overwrite])
def test_the_same_call_succeeds_after_a_kill_at_any_moment(tmp_path, write):
    model = longspan.extend(tiny_llama(), "rerope(8)")
    whole = {path.name: path.read_bytes() for path in longspan.save(model, tmp_path / "whole").iterdir()}
    for faulty in at_every_change(killed_after, least=12):
        folder = tmp_path / str(faulty.last) / "model"
        if write is overwrite:
            longspan.save(tiny_llama(), folder)
        with faulty.mounted():
            write(model, folder)
        if write is longspan.save and folder.exists():
            with pytest.raises(RefusalError, match="exists already"):
                write(model, folder)
        else:
            write(model, folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
        assert os.listdir(folder.parent) == ["model"]


def test_two_writers_of_one_folder(tmp_path, monkeypatch):
    """The second comes while the first writes."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    monkeypatch.setattr(tokenizer, "save_pretrained", lambda _: longspan.save(tiny_llama(1), tmp_path / "model"))
    with pytest.raises(InputError, match=r"another process is writing .*model: wait for it"):
        longspan.save(tiny_llama(), tmp_path / "model", tokenizer=tokenizer)
    assert os.listdir(tmp_path) == []


def test_a_newer_extension_is_refused(tmp_path):
    folder = longspan.save(longspan.extend(tiny_llama(), "rerope(8)"), tmp_path / "model")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["context_extension"]["version"] = 99
    path.write_text(json.dumps(config))
    with pytest.raises(RefusalError, match="newer longspan"):
        longspan.load(folder)


def test_pickled_weights_are_refused(tmp_path):
    folder = longspan.save(tiny_llama(), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save(tiny_llama().state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(RefusalError, match="cannot load"):
        longspan.load(folder)


def test_a_packed_gguf_is_unpacked_without_fetching_code(tmp_path, monkeypatch):
    """With a package `kernels` installed, transformers would fetch what multiplies packed weights."""

    def fetched() -> None:
        pytest.fail("transformers asked for a kernel")

    monkeypatch.setattr(quantizer_gguf, "get_gguf_kernel", fetched)
    embedding = packed_lfm2(tmp_path / "packed.gguf")
    model = longspan.load(tmp_path / "packed.gguf")
    assert torch.equal(model.get_parameter("model.embed_tokens.weight"), embedding)


def packed_lfm2(path) -> torch.Tensor:
    """A tiny model in Q8_0, of a kind whose weights transformers can leave packed; what its embedding unpacks to."""
    width, words = 32, 16
    writer = gguf.GGUFWriter(path, "lfm2")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_head_count_kv([2])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(words)
    writer.add_shortconv_l_cache(3)
    writer.add_token_list([str(word) for word in range(words)])
    kind, numbers, unpacked = gguf.GGMLQuantizationType.Q8_0, np.random.default_rng(0), {}
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    for name in ("token_embd", *(f"blk.0.{part}" for part in parts)):
        shape = (width if "." in name else words, width)
        packed = gguf.quants.quantize(numbers.normal(size=shape).astype(np.float32), kind)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
        unpacked[name] = torch.from_numpy(gguf.quants.dequantize(packed, kind))
    for name, size in (("token_embd_norm", 32), ("blk.0.attn_norm", 32), ("blk.0.ffn_norm", 32),
                       ("blk.0.attn_q_norm", 16), ("blk.0.attn_k_norm", 16)):  # fmt: skip
        writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unpacked["token_embd"]


def test_a_cut_gguf_is_refused(tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(RefusalError, match=r"no whole GGUF file") as raised:
        longspan.load(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(RefusalError, match="there is no file"):
        longspan.load(tmp_path / "missing.gguf")
